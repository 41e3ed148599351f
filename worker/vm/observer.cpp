#include "worker/vm/observer.h"

#include <algorithm>
#include <cmath>

namespace zeroth {

std::vector<std::uint32_t> largest(std::span<const double> field, std::size_t limit) {
  const auto before = [&](std::uint32_t x, std::uint32_t y) {
    const double mx = std::fabs(field[x]), my = std::fabs(field[y]);
    return mx != my ? mx > my : x < y;
  };
  std::vector<std::uint32_t> heap;  // its front is the least of those kept
  if (limit == 0) return heap;
  for (std::uint32_t k = 0; k < field.size(); ++k) {
    if (heap.size() == limit) {
      if (!before(k, heap.front())) continue;
      std::pop_heap(heap.begin(), heap.end(), before);
      heap.pop_back();
    }
    heap.push_back(k);
    std::push_heap(heap.begin(), heap.end(), before);
  }
  std::sort_heap(heap.begin(), heap.end(), before);
  return heap;
}

}  // namespace zeroth
