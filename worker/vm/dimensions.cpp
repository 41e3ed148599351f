#include "worker/vm/dimensions.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace zeroth {
namespace {

bool waits(const Dimension& dimension) {
  return dimension.active && !dimension.resolved;
}

std::vector<std::int8_t> signs(std::span<const double> field, double epsilon) {
  std::vector<std::int8_t> result(field.size());
  for (std::size_t k = 0; k < field.size(); ++k) {
    result[k] = static_cast<std::int8_t>(std::fabs(field[k]) < epsilon ? 0 : (field[k] > 0) - (field[k] < 0));
  }
  return result;
}

}  // namespace

void Dimensions::open(std::size_t states, std::uint64_t iteration) {
  const auto active = std::count_if(all_.begin(), all_.end(), [](const Dimension& d) { return d.active; });
  if (static_cast<std::size_t>(active) >= kActive || std::any_of(all_.begin(), all_.end(), waits)) return;
  add(std::vector<std::int8_t>(states, -1), {iteration, {}});
}

std::optional<std::vector<std::uint64_t>> Dimensions::resolve(std::span<const double> field, double epsilon,
                                                              std::uint64_t iteration) {
  const auto found = std::find_if(all_.begin(), all_.end(), waits);
  if (found == all_.end()) return std::nullopt;
  found->vector = signs(field, epsilon);
  found->resolved = true;
  std::optional<std::vector<std::uint64_t>> merged;
  if (std::all_of(found->vector.begin(), found->vector.end(), [](std::int8_t entry) { return entry == 0; })) {
    found->active = false;
  } else {
    const auto other = std::find_if(all_.begin(), all_.end(), [&](const Dimension& d) {
      return &d != &*found && d.active && d.resolved && d.vector == found->vector;
    });
    if (other == all_.end()) return std::nullopt;
    other->active = found->active = false;
    merged = {other->id, found->id};
    add(found->vector, {iteration, *merged}).resolved = true;
  }
  forget_old_inactive();
  return merged;
}

void Dimensions::assign(std::vector<Dimension> all, std::uint64_t next_id) {
  all_ = std::move(all);
  next_id_ = next_id;
}

void Dimensions::remap(std::span<const std::uint32_t> sources) {
  for (Dimension& dimension : all_) {
    std::vector<std::int8_t> vector(sources.size(), -1);
    for (std::size_t k = 0; k < sources.size(); ++k) {
      if (sources[k] != kNone) vector[k] = dimension.vector[sources[k]];
    }
    dimension.vector = std::move(vector);
  }
}

Dimension& Dimensions::add(std::vector<std::int8_t> vector, Dimension::Origin origin) {
  Dimension dimension;
  dimension.id = next_id_++;
  dimension.vector = std::move(vector);
  dimension.lineage.push_back(std::move(origin));
  return all_.emplace_back(std::move(dimension));
}

void Dimensions::forget_old_inactive() {
  auto inactive =
      static_cast<std::size_t>(std::count_if(all_.begin(), all_.end(), [](const Dimension& d) { return !d.active; }));
  std::erase_if(all_, [&](const Dimension& d) { return !d.active && inactive > kInactive && inactive-- > 0; });
}

}  // namespace zeroth
