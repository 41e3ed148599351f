#pragma once
// The newest `Limit` items of a log, oldest first, and how many there ever were.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

namespace zeroth {

template <class T, std::size_t Limit>
class Newest {
 public:
  static constexpr std::size_t kLimit = Limit;

  void push(T item) {
    ++total_;
    items_.push_back(std::move(item));
    if (items_.size() > Limit) items_.pop_front();
  }
  // For a log that is read back; at least the number of items pushed.
  void set_total(std::uint64_t total) { total_ = total; }

  std::uint64_t total() const { return total_; }
  const std::deque<T>& items() const { return items_; }

 private:
  std::deque<T> items_;
  std::uint64_t total_ = 0;
};

}  // namespace zeroth
