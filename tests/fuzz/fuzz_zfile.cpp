// Any bytes are a .z file or are rejected; a program that was read is written and read the same from then on.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tests/fuzz/require.h"
#include "worker/language/zfile.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace zeroth;
  const auto program = decode({reinterpret_cast<const char*>(data), size});
  if (!program) {
    fuzz::require(program.error().message.starts_with("offset "));
    return 0;
  }
  const std::string bytes = encode(*program);
  const auto again = decode(bytes);
  fuzz::require(again.has_value());
  fuzz::require(encode(*again) == bytes);
  return 0;
}
