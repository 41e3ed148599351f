#include "supervisor/resource_limits.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

namespace zeroth {

TEST_CASE("limits: a name and a number, a size or unlimited") {
  CHECK(*parse_limit("nofile=1024") == std::pair(int(RLIMIT_NOFILE), std::uint64_t(1024)));
  CHECK(*parse_limit("memory=2GB") == std::pair(int(RLIMIT_AS), std::uint64_t(2) << 30));
  CHECK(*parse_limit("core=unlimited") == std::pair(int(RLIMIT_CORE), ~std::uint64_t(0)));
  for (const char* text : {"", "nofile", "=1", "nofile=", "nofile=-1", "nofile=many", "nofile=1=2"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_limit(text));
  }
  CHECK(parse_limit("nofil=1").error().message.find("did you mean 'nofile'?") != std::string::npos);
  CHECK(parse_limit("xxxxxxxxxx=1").error().message.find("there are memory, data") != std::string::npos);
}

}  // namespace zeroth
