#include "supervisor/terminal/keys.h"

#include <doctest/doctest.h>

#include <set>

namespace zeroth {

TEST_CASE("keys: every letter once, and each found by it") {
  std::set<char> letters;
  for (const KeyEntry& entry : keys()) {
    CHECK(letters.insert(entry.letter).second);
    CHECK(find_key(std::string(1, entry.letter)) == &entry);
    CHECK(key_help().find(entry.help) != std::string::npos);
  }
  CHECK(key_hint() == "h help  r restart  f fresh  s snapshot  u undo  q quit");
}

TEST_CASE("keys: pasted text and cursor keys are none") {
  CHECK(find_key("restart") == nullptr);
  CHECK(find_key("\x1b[A") == nullptr);
  CHECK(find_key("") == nullptr);
  CHECK(find_key("\x1b") == nullptr);
  CHECK(find_key("o") == nullptr);
  REQUIRE(find_key("qq") != nullptr);
  CHECK(find_key("qq")->key == Key::Quit);
  CHECK(find_key("R")->key == Key::Restart);
  CHECK(find_key("?")->key == Key::Help);
}

}  // namespace zeroth
