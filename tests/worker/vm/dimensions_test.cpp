#include "worker/vm/dimensions.h"

#include <doctest/doctest.h>

namespace zeroth {
namespace {

using Ids = std::vector<std::uint64_t>;

std::size_t count_active(const Dimensions& dimensions) {
  std::size_t count = 0;
  for (const Dimension& d : dimensions.all()) count += d.active;
  return count;
}

// A field whose signs are the binary digits of `pattern`.
std::vector<double> field_of(unsigned pattern) {
  std::vector<double> field;
  for (unsigned bit = 0; bit < 9; ++bit) field.push_back((pattern >> bit & 1) != 0 ? 1 : -1);
  return field;
}

}  // namespace

TEST_CASE("dimensions: an observation resolves to signs, with 0 for what is below epsilon") {
  Dimensions dimensions;
  dimensions.open(5, 3);
  CHECK_FALSE(dimensions.resolve(std::vector<double>{0.5, -0.5, 0.05, -0.05, 0.1}, 0.1, 4).has_value());
  const Dimension& d = dimensions.all()[0];
  CHECK(d.vector == std::vector<std::int8_t>{1, -1, 0, 0, 1});
  CHECK(d.resolved);
  CHECK(d.active);
  CHECK(d.lineage.size() == 1);
}

TEST_CASE("dimensions: without one that waits an observation resolves nothing") {
  Dimensions dimensions;
  CHECK_FALSE(dimensions.resolve(std::vector<double>{1}, 0.1, 1).has_value());
  CHECK(dimensions.all().empty());
}

TEST_CASE("dimensions: all zeros exhaust it") {
  Dimensions dimensions;
  dimensions.open(2, 1);
  CHECK_FALSE(dimensions.resolve(std::vector<double>{0.01, 0}, 0.1, 2).has_value());
  CHECK(dimensions.all()[0].resolved);
  CHECK_FALSE(dimensions.all()[0].active);
}

TEST_CASE("dimensions: equal ones merge into a new one under the next id") {
  Dimensions dimensions;
  dimensions.open(2, 1);
  dimensions.resolve(std::vector<double>{1, -1}, 0.1, 2);
  dimensions.open(2, 5);
  const auto merged = dimensions.resolve(std::vector<double>{2, -2}, 0.1, 7);
  CHECK(merged == Ids{0, 1});
  REQUIRE(dimensions.all().size() == 3);
  CHECK_FALSE(dimensions.all()[0].active);
  CHECK_FALSE(dimensions.all()[1].active);
  const Dimension& child = dimensions.all()[2];
  CHECK(child.id == 2);
  CHECK(child.active);
  CHECK(child.resolved);
  CHECK(child.vector == std::vector<std::int8_t>{1, -1});
  REQUIRE(child.lineage.size() == 1);
  CHECK(child.lineage[0].iteration == 7);
  CHECK(child.lineage[0].sources == Ids{0, 1});
  CHECK(dimensions.next_id() == 3);
}

TEST_CASE("dimensions: of several equals the lowest is merged with") {
  std::vector<Dimension> all(3);
  for (std::uint64_t i = 0; i < 3; ++i) all[i] = {i, {1}, true, i < 2, {}};
  Dimensions dimensions;
  dimensions.assign(all, 3);
  CHECK(dimensions.resolve(std::vector<double>{1}, 0.1, 1) == Ids{0, 2});
  CHECK(dimensions.all()[1].active);
}

TEST_CASE("dimensions: an inactive or unresolved equal is not merged with") {
  std::vector<Dimension> all(3);
  all[0] = {0, {1}, false, true, {}};
  all[1] = {1, {-1}, true, false, {}};
  all[2] = {2, {1}, true, false, {}};
  Dimensions dimensions;
  dimensions.assign(all, 3);
  CHECK_FALSE(dimensions.resolve(std::vector<double>{1}, 0.1, 1).has_value());
  CHECK(dimensions.all()[1].resolved);
  CHECK_FALSE(dimensions.all()[2].resolved);
}

TEST_CASE("dimensions: sixty-four active ones are enough") {
  Dimensions dimensions;
  for (unsigned i = 0; i < 70; ++i) {
    dimensions.open(9, i);
    dimensions.resolve(field_of(i), 0.1, i);
  }
  CHECK(count_active(dimensions) == 64);
  CHECK(dimensions.next_id() == 64);
}

TEST_CASE("dimensions: the newest 256 inactive ones are kept") {
  Dimensions dimensions;
  for (unsigned i = 0; i < 300; ++i) {
    dimensions.open(1, i);
    dimensions.resolve(std::vector<double>{0}, 0.1, i);
  }
  REQUIRE(dimensions.all().size() == 256);
  CHECK(dimensions.all().front().id == 44);
  CHECK(dimensions.all().back().id == 299);
}

TEST_CASE("dimensions: an active one outlives any number of newer inactive ones") {
  Dimensions dimensions;
  dimensions.open(1, 0);
  dimensions.resolve(std::vector<double>{1}, 0.1, 0);
  for (unsigned i = 1; i < 300; ++i) {
    dimensions.open(1, i);
    dimensions.resolve(std::vector<double>{0}, 0.1, i);
  }
  CHECK(dimensions.all().size() == 257);
  CHECK(dimensions.all().front().id == 0);
}

}  // namespace zeroth
