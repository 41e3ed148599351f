#pragma once
// Why a supervisor could not start, and the exit status that says so.

#include <cerrno>
#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "common/exit_codes.h"
#include "common/result.h"

namespace zeroth {

struct StartError {
  int exit_code = 1;
  std::string message;
};

inline tl::unexpected<StartError> refuse_start(int exit_code, std::string message) {
  return tl::unexpected(StartError{exit_code, std::move(message)});
}

// Of a file in `state`, or of one that belongs to it: the exit status by the errno; a full disk comes with advice.
inline tl::unexpected<StartError> refuse_start(const Error& error, const std::string& state) {
  const bool full = error.code == ENOSPC || error.code == EDQUOT;
  return refuse_start(exit_code_for(error.code),
                      error.message + (full ? "; free space on the file system of " + state : ""));
}

}  // namespace zeroth
