#pragma once
// Numbers names in the order they are first seen. Used by the parser and the .z loader, for which the hash maps of the
// standard library are too slow.

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace zeroth {

class SymbolTable {
 public:
  // The number of `name`, a new one (== the size before) if it was not seen before. The characters must outlive the
  // table.
  std::uint32_t intern(std::string_view name) {
    if (names_.size() * 2 >= slots_.size()) grow();
    const auto hash = static_cast<std::uint32_t>(std::hash<std::string_view>{}(name));
    std::size_t at = hash & (slots_.size() - 1);
    for (; slots_[at].number != kFree; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].hash == hash && names_[slots_[at].number] == name) return slots_[at].number;
    }
    const auto number = static_cast<std::uint32_t>(names_.size());
    slots_[at] = {hash, number};
    names_.push_back(name);
    return number;
  }

  std::string_view name(std::uint32_t number) const { return names_[number]; }
  std::size_t size() const { return names_.size(); }

 private:
  static constexpr std::uint32_t kFree = UINT32_MAX;
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t number = kFree;
  };

  void grow() {
    std::vector<Slot> old(slots_.empty() ? 64 : slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.number == kFree) continue;
      std::size_t at = slot.hash & (slots_.size() - 1);
      while (slots_[at].number != kFree) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = slot;
    }
  }

  std::vector<Slot> slots_;  // a power of two, at most half of them taken
  std::vector<std::string_view> names_;
};

}  // namespace zeroth
