#pragma once
// Result<T>: a value or an Error. Every function of ours that can fail returns one; nothing of ours throws.
// An Error is made where errno (or a library's code) was seen; each level above may add what it was doing, so that the
// message reads outside-in: "reload: saving snapshot 12: rename: No space left on device".

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace zeroth {

struct Error {
  int code = 0;         // errno of the failed call, 0 if it was none
  std::string message;  // one line, no trailing full stop

  // The same error, seen from one level further out.
  Error in(std::string_view doing) && { return {code, std::string(doing) + ": " + message}; }
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(std::string message, int code = 0) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}
inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

// "<call>: <strerror>" for the given errno value.
Error system_error(std::string_view call, int code);
// The same with the errno of the call that has just failed.
Error last_error(std::string_view call);

}  // namespace zeroth
