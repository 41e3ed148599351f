#include "common/result.h"

#include <cerrno>
#include <cstring>

namespace zeroth {

Error system_error(std::string_view call, int code) {
  return Error{code, std::string(call) + ": " + std::strerror(code)};
}

Error last_error(std::string_view call) {
  return system_error(call, errno);
}

}  // namespace zeroth
