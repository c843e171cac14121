// Numbers in the words of the plan's messages.
#pragma once

#include <cstdint>
#include <string>

namespace potluck::partition {

// "3.2 GiB", "412 MiB".
std::string Bytes(int64_t bytes);
// "12.3", "0.41": three digits.
std::string Digits(double value);
// "12.3 ms", "2.1 s".
std::string Seconds(double seconds);
// "layer 4", "layers 4-9": first and last.
std::string Layers(int64_t first, int64_t last);

}  // namespace potluck::partition
