#include "common/base64.h"

#include <doctest/doctest.h>

namespace zeroth {
namespace {

std::string encode(std::string_view bytes) {
  std::string out;
  base64_append(out, bytes);
  return out;
}

Result<std::string> decode(std::string_view text) {
  std::string out(base64_decoded_size(text), '\0');
  if (auto done = base64_decode(text, out.data()); !done) return fail(done.error());
  return out;
}

}  // namespace

TEST_CASE("base64: the vectors of RFC 4648, both ways") {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : vectors) {
    CHECK(encode(plain) == text);
    CHECK(decode(text).value() == plain);
  }
}

TEST_CASE("base64: every byte value survives") {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  CHECK(decode(encode(bytes)).value() == bytes);
}

TEST_CASE("base64: malformed text is refused") {
  for (const char* text : {"Z", "Zg=", "Zg==Zg==", "Zh==", "Zm9=", "Z===", "====", "Zm 9", "Zm9\n", "=m9v"}) {
    CAPTURE(text);
    CHECK_FALSE(decode(text).has_value());
  }
}

}  // namespace zeroth
