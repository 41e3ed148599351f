#include "worker/vm/name_index.h"

#include <bit>
#include <functional>

namespace zeroth {

NameIndex::NameIndex(std::span<const std::string> names) : names_(names), slots_(std::bit_ceil(names.size() * 2 + 1)) {
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    const std::size_t slot = slot_of(names[i]);
    if (slots_[slot] == 0) {
      slots_[slot] = i + 1;
    } else if (!duplicate_) {
      duplicate_ = i;
    }
  }
}

std::optional<std::uint32_t> NameIndex::find(std::string_view name) const {
  const std::uint32_t entry = slots_[slot_of(name)];
  if (entry == 0) return std::nullopt;
  return entry - 1;
}

std::size_t NameIndex::slot_of(std::string_view name) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = std::hash<std::string_view>()(name) & mask;
  while (slots_[slot] != 0 && names_[slots_[slot] - 1] != name) slot = (slot + 1) & mask;
  return slot;
}

}  // namespace zeroth
