// Any bytes are a program or are rejected with errors that can be shown; a program survives its compiled form.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tests/fuzz/require.h"
#include "worker/language/parser.h"
#include "worker/language/zfile.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace zeroth;
  const auto program = parse({reinterpret_cast<const char*>(data), size});
  if (!program) {
    fuzz::require(!program.error().empty() && program.error().size() <= kReportedErrors);
    fuzz::require(!render_text("f", program.error()).empty());
    fuzz::require(!render_json("f", program.error()).empty());
    return 0;
  }
  const std::string bytes = encode(*program);
  const auto decoded = decode(bytes);
  fuzz::require(decoded.has_value());
  fuzz::require(decoded->states == program->states && decoded->epsilon == program->epsilon);
  fuzz::require(encode(*decoded) == bytes);
  return 0;
}
