#pragma once
// Dimensions: a collapse opens one of all -1, an observation resolves it to the signs of the field, equal ones merge.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace zeroth {

struct Dimension {
  struct Origin {
    std::uint64_t iteration = 0;
    std::vector<std::uint64_t> sources;  // ids it was merged from; none for a collapse
  };
  std::uint64_t id = 0;
  std::vector<std::int8_t> vector;  // one entry of -1, 0, +1 per state
  bool active = true;
  bool resolved = false;
  std::vector<Origin> lineage;
};

// Always in ascending order of id, which is the order of creation.
class Dimensions {
 public:
  static constexpr std::size_t kActive = 64;     // no more are opened
  static constexpr std::size_t kInactive = 256;  // the newest kept

  // A collapse: opens an unresolved dimension unless one is waiting already or kActive are active.
  void open(std::size_t states, std::uint64_t iteration);

  // An observation: resolves the oldest active unresolved dimension, if any, against `field`. Returns the ids
  // {other, this} if that made two dimensions merge.
  std::optional<std::vector<std::uint64_t>> resolve(std::span<const double> field, double epsilon,
                                                    std::uint64_t iteration);

  const std::vector<Dimension>& all() const { return all_; }
  std::uint64_t next_id() const { return next_id_; }

  // The state codec and a restore put them in; ids ascending and below `next_id`.
  void assign(std::vector<Dimension> all, std::uint64_t next_id);
  // Each vector becomes one entry per element of `sources`: the entry it names, or -1 for kNone.
  static constexpr std::uint32_t kNone = UINT32_MAX;
  void remap(std::span<const std::uint32_t> sources);

 private:
  Dimension& add(std::vector<std::int8_t> vector, Dimension::Origin origin);
  void forget_old_inactive();

  std::vector<Dimension> all_;
  std::uint64_t next_id_ = 0;
};

}  // namespace zeroth
