// POTLUCK_CHECK(condition): ends the process with file, line and text when our own code is wrong.
// Bytes from a file, a peer or a user must never decide a check: those get an absl::Status.
#pragma once

#include <cstdio>
#include <cstdlib>

#define POTLUCK_CHECK(condition)                                                       \
  do {                                                                                 \
    if (!(condition)) {                                                                \
      std::fprintf(stderr, "%s:%d: internal error: %s is false\n", __FILE__, __LINE__, \
                   #condition);                                                        \
      std::abort();                                                                    \
    }                                                                                  \
  } while (false)
