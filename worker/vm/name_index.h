#pragma once
// Finds a state's index by its name. Built where many names are looked up at once (a restore, a check for duplicates).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zeroth {

class NameIndex {
 public:
  // `names` must outlive the index. Of equal names the first is found.
  explicit NameIndex(std::span<const std::string> names);

  std::optional<std::uint32_t> find(std::string_view name) const;
  // Index of the first name that an earlier one equals.
  std::optional<std::uint32_t> duplicate() const { return duplicate_; }

 private:
  std::size_t slot_of(std::string_view name) const;

  std::span<const std::string> names_;
  std::vector<std::uint32_t> slots_;  // open addressing; index + 1, 0 is free
  std::optional<std::uint32_t> duplicate_;
};

}  // namespace zeroth
