#pragma once
// What the exit status of every program of ours means. Scripts, units and the supervisor itself decide by these
// numbers.

#include <cerrno>

namespace zeroth {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;          // anything not named below
inline constexpr int kExitUsage = 2;           // the command line makes no sense
inline constexpr int kExitNotRunning = 3;      // zerothctl: no supervisor runs
inline constexpr int kExitNoSuchWorker = 4;    // zerothctl: a supervisor runs, but not that worker
inline constexpr int kExitCompile = 65;        // the program does not compile, or the .z file is damaged
inline constexpr int kExitNotFound = 66;       // a file is missing or not a regular file
inline constexpr int kExitTaken = 69;          // instance, port or socket belongs to somebody else
inline constexpr int kExitTimedOut = 75;       // no answer in time; trying again may help
inline constexpr int kExitPermission = 77;     // the system says we may not
inline constexpr int kExitConfiguration = 78;  // a configuration file is wrong

// The exit status for a file that could not be used, by the errno of the call that failed.
constexpr int exit_code_for(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case ENXIO:
      return kExitNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return kExitPermission;
    default:
      return kExitFailed;
  }
}

}  // namespace zeroth
