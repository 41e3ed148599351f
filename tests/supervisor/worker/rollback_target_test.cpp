#include "supervisor/worker/rollback_target.h"

#include <doctest/doctest.h>

#include <vector>

namespace zeroth {
namespace {

SnapshotEnvelope snapshot(std::uint64_t sequence, std::uint64_t generation, const std::string& hash) {
  SnapshotEnvelope envelope;
  envelope.sequence = sequence;
  envelope.generation = generation;
  envelope.program_hash = hash;
  return envelope;
}

const std::vector<SnapshotEnvelope> kKept = {snapshot(9, 5, "e"), snapshot(7, 4, "d"), snapshot(6, 4, "d"),
                                             snapshot(2, 1, "a")};
const std::map<std::uint64_t, std::string> kPrograms = {{1, "a"}, {2, "b"}, {4, "d"}, {5, "e"}};

}  // namespace

TEST_CASE("rollback target: the last snapshot of a generation, or the snapshot and the code that wrote it") {
  const auto of = [](const RollbackWish& wish) { return choose_rollback(wish, kKept, kPrograms).value(); };
  CHECK(of({.generation = 4, .sequence = {}}).sequence == 7);
  CHECK(of({.generation = 4, .sequence = {}}).program_hash == "d");
  CHECK(of({.generation = {}, .sequence = 6}).sequence == 6);
  CHECK(of({.generation = {}, .sequence = 6}).generation == 4);
  CHECK(of({.generation = {}, .sequence = 2}).program_hash == "a");
}

TEST_CASE("rollback target: only the code needs no snapshot") {
  const auto code = choose_rollback({.generation = 2, .sequence = {}, .code_only = true}, kKept, kPrograms);
  REQUIRE(code.has_value());
  CHECK(code->sequence == 0);
  CHECK(code->program_hash == "b");
  CHECK(choose_rollback({.generation = 4, .sequence = {}, .code_only = true}, kKept, kPrograms)->sequence == 0);
}

TEST_CASE("rollback target: what does not exist is not found, with what is nearby") {
  const auto refused = [](const RollbackWish& wish) { return choose_rollback(wish, kKept, kPrograms).error(); };
  CHECK(refused({.generation = {}, .sequence = 8}).hint.starts_with("kept nearby: 6, 7, 9;"));
  CHECK(refused({.generation = {}, .sequence = 100}).hint.starts_with("kept nearby: 7, 9;"));
  CHECK(refused({.generation = 2, .sequence = {}}).code == ErrorCode::NotFound);
  CHECK(refused({.generation = 2, .sequence = {}}).message == "no snapshot of generation 2 is kept any more");
  CHECK(refused({.generation = 2, .sequence = {}}).hint.find("1, 4, 5") != std::string::npos);
  CHECK(refused({.generation = 3, .sequence = {}}).message == "generation 3 was never live, or is forgotten");
  CHECK(choose_rollback({.generation = {}, .sequence = 1}, {}, {}).error().hint.starts_with("kept nearby: none"));
}

TEST_CASE("rollback target: the iteration of a state document") {
  CHECK(iteration_in("zeroth-vm/1", R"({"schema":"zeroth-vm/1","iteration":18204,"epsilon":1})") == 18204);
  CHECK_FALSE(iteration_in("zeroth-vm/1", R"({"schema":"zeroth-vm/1"})"));
  CHECK_FALSE(iteration_in("zeroth-vm/1", R"({"iteration":)"));
  CHECK_FALSE(iteration_in("shop/1", R"({"iteration":5})"));
}

}  // namespace zeroth
