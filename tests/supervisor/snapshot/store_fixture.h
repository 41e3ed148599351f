#pragma once
// A snapshot store in a folder of its own, used as if it did not run on a loop: each call waits for its answer.

#include <doctest/doctest.h>
#include <fcntl.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include "common/files.h"
#include "supervisor/snapshot/snapshot_store.h"
#include "tests/support/temp_dir.h"

namespace zeroth {

// Skips aloud what only root can show.
inline bool is_root(const char* what) {
  if (::geteuid() == 0) return true;
  MESSAGE("skipped, needs root: ", what);
  return false;
}

using Store = SnapshotStore;

struct StoreFixture {
  explicit StoreFixture(std::string identity_given = "/srv/a.zero", std::string within = "")
      : worker(within.empty() ? folder.path() + "/worker" : std::move(within)), identity(std::move(identity_given)) {
    reset();
  }

  void reset() { store = std::make_unique<Store>(loop, worker, identity); }
  void reopen() {
    reset();
    REQUIRE(open());
  }

  // Calls `start` with a callback and runs the loop until all is done.
  template <class T, class Start>
  T wait(Start start) {
    std::optional<T> answer;
    start([&answer](T value) { answer.emplace(std::move(value)); });
    CHECK_FALSE(answer);  // never from inside the call
    loop.run();
    REQUIRE(answer);
    return std::move(*answer);
  }

  Status open() {
    return wait<Status>([&](auto done) { store->open(done); });
  }
  SnapshotEnvelope head() const {
    SnapshotEnvelope envelope;
    envelope.generation = 3;
    envelope.worker = "a";
    envelope.identity = envelope.program_path = identity;
    envelope.schema = "test/1";
    envelope.program_hash = std::string(32, 'a');
    envelope.cause = "manual";
    envelope.created_at = *parse_rfc3339("2026-01-31T10:02:11.123Z");
    return envelope;
  }
  Result<Store::Draft> begin() {
    return wait<Result<Store::Draft>>([&](auto done) { store->begin(head(), done); });
  }
  Status write(const Store::Draft& draft, DraftState state, const std::string& schema = "") {
    return wait<Status>([&](auto done) { store->write(draft, std::move(state), done, schema); });
  }
  Result<Store::Committed> commit(const Store::Draft& draft) {
    return wait<Result<Store::Committed>>([&](auto done) { store->commit(draft, done); });
  }
  Result<Store::Committed> save(std::string state, const std::string& schema = "") {
    auto draft = begin();
    if (!draft) return fail(draft.error());
    if (Status written = write(*draft, std::move(state), schema); !written) return fail(written.error());
    return commit(*draft);
  }
  SearchResult search(SearchOptions options = {}) {
    auto result = wait<Result<SearchResult>>([&](auto done) { store->search(options, done); });
    REQUIRE(result);
    return std::move(*result);
  }

  std::string snapshots() const { return worker + "/snapshots"; }
  std::string path(std::uint64_t sequence) const { return snapshots() + "/" + snapshot_name(sequence); }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(snapshots())) found.push_back(entry.path().filename());
    std::sort(found.begin(), found.end());
    return found;
  }
  // Changes one byte of the state.
  void damage(std::uint64_t sequence) const {
    const UniqueFd fd(::open(path(sequence).c_str(), O_WRONLY));
    REQUIRE(write_all_at(fd.get(), "X", 4096));
  }

  TempDir folder;
  Loop loop;
  std::string worker;
  std::string identity;
  std::unique_ptr<Store> store;
};

struct OpenedStore : StoreFixture {
  explicit OpenedStore(std::string identity_given = "/srv/a.zero", std::string within = "")
      : StoreFixture(std::move(identity_given), std::move(within)) {
    REQUIRE(open());
  }
};

}  // namespace zeroth
