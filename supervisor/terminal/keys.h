#pragma once
// The keys that do something while the supervisor runs in the foreground: one entry each; hint and help are made from
// the table.

#include <span>
#include <string>
#include <string_view>

namespace zeroth {

enum class Key { Help, Restart, Fresh, Snapshot, Undo, Logs, Quit };

struct KeyEntry {
  char letter;
  Key key;
  std::string_view name;
  std::string_view help;
  bool hinted;  // in the first lines
};
std::span<const KeyEntry> keys();

// What came in one read, as one key: a key that repeats itself is that key, pasted text and cursor keys are none.
// Null if it is no entry of the table.
const KeyEntry* find_key(std::string_view bytes);
// The letter, if it is one at all.
char letter_of(std::string_view bytes);

// "h help  r restart  f fresh  s snapshot  u undo  q quit"
std::string key_hint();
// One line a key.
std::string key_help();

}  // namespace zeroth
