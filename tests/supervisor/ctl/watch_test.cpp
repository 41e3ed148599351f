#include "supervisor/ctl/watch.h"

#include <doctest/doctest.h>

namespace zeroth {

TEST_CASE("sparkline: from the least to the largest of the newest values") {
  CHECK(sparkline({}, 10, true).empty());
  CHECK(sparkline({0, 7, 0, 1, 2, 3, 4, 5, 6, 7}, 8, false) == "_.-~=+*#");
  CHECK(sparkline({0, 7}, 8, true) == "\xe2\x96\x81\xe2\x96\x88");
  CHECK(sparkline({0.5, 0.5, 0.5}, 8, false) == "___");
  CHECK(sparkline({-1e300, 1e300}, 8, false) == "_#");
}

}  // namespace zeroth
