// Of the machine that a worker runs on: which it is, and the room on its disk.
#pragma once

#include <cstdint>
#include <string>

namespace potluck::worker {

struct IdentityFiles {
  // New at each boot, and the same in all containers of a machine, which share its memory.
  std::string boot_id = "/proc/sys/kernel/random/boot_id";
  // Where there is no other; may be the same on machines that were cloned.
  std::string machine_id = "/etc/machine-id";
};

// 32 hexadecimal digits that all workers of this machine have in common, and workers of others do
// not: hashed, since the ids are nobody else's business. Empty where neither file has an id.
std::string HostIdentity(const IdentityFiles& files = {});

// The memory of this process that is its alone and in use: what it has written, and no file. All
// that there can be where the kernel does not say.
int64_t PrivateBytes(const std::string& status_file = "/proc/self/status");

// What this user may still write where the folder is or will be; 0 where nothing is known.
int64_t FreeDiskBytes(const std::string& folder);

}  // namespace potluck::worker
