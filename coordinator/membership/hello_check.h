// What a worker may say of itself when it joins.
#pragma once

#include "absl/status/status.h"
#include "wire/messages.h"

namespace potluck::coordinator {

// InvalidArgument for what no worker of ours says: a bad id, devices without or with the same name,
// numbers that are none, more than a message should hold. Makes the name fit for a terminal, and
// the id's beginning where there is none.
absl::Status CheckHello(wire::WorkerHello& hello);

}  // namespace potluck::coordinator
