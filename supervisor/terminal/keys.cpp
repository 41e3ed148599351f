#include "supervisor/terminal/keys.h"

namespace zeroth {
namespace {

constexpr KeyEntry kKeys[] = {
    {'h', Key::Help, "help", "this", true},
    {'r', Key::Restart, "restart", "a fresh process with the living state, also if nothing changed", true},
    {'f', Key::Fresh, "fresh", "a fresh process without state; asks, and pins the present one", true},
    {'s', Key::Snapshot, "snapshot", "save the living state now", true},
    {'u', Key::Undo, "undo", "back to the code and state of the generation before; asks, and pins the present one",
     true},
    {'l', Key::Logs, "logs", "the last 20 lines of the worker's output", false},
    {'q', Key::Quit, "quit", "save and stop, as Ctrl-C does; twice: stop at once", true},
};

}  // namespace

std::span<const KeyEntry> keys() {
  return kKeys;
}

char letter_of(std::string_view bytes) {
  if (bytes.empty() || bytes.find_first_not_of(bytes.front()) != std::string_view::npos) return 0;
  const char letter = bytes.front();
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + ('a' - 'A')) : letter;
}

const KeyEntry* find_key(std::string_view bytes) {
  const char letter = letter_of(bytes);
  if (letter == '?') return &kKeys[0];
  for (const KeyEntry& entry : kKeys) {
    if (entry.letter == letter) return &entry;
  }
  return nullptr;
}

std::string key_hint() {
  std::string hint;
  for (const KeyEntry& entry : kKeys) {
    if (entry.hinted) hint += (hint.empty() ? "" : "  ") + std::string(1, entry.letter) + " " + std::string(entry.name);
  }
  return hint;
}

std::string key_help() {
  std::string help;
  for (const KeyEntry& entry : kKeys) {
    std::string name(entry.name);
    name.resize(10, ' ');
    help += (help.empty() ? "  " : "\n  ") + std::string(1, entry.letter) + "  " + name + std::string(entry.help);
  }
  return help;
}

}  // namespace zeroth
