#include "supervisor/watch/folder_rules.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "supervisor/watch/content_hash.h"
#include "supervisor/watch/tree.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

namespace fs = std::filesystem;

// A folder with these files, and what a walk of a target in it finds.
struct RuledTree {
  explicit RuledTree(const std::vector<std::pair<std::string, std::string>>& files) {
    for (const auto& [name, text] : files) put(name, text);
  }
  void put(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(dir.path(name)).parent_path());
    dir.write(name, text);
  }
  std::vector<std::string> files(const std::string& target = "", const std::vector<std::string>& ignore = {}) const {
    const std::string real = fs::canonical(dir.path(target)).string();
    const WatchScope scope({real}, IgnoreRules::of(ignore));
    std::vector<std::string> found;
    walk_files(
        scope, real, [&](std::string file) { found.push_back(std::move(file)); },
        [&](const Error& error) { FAIL_CHECK(error.message); });
    std::ranges::sort(found);
    return found;
  }
  TempDir dir;
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("folder rules: what editors, caches and version control leave behind is ignored by default") {
  const RuledTree tree({{"node_modules/a.js", ""},
                        {"a/__pycache__/m", ""},
                        {".venv/x", ""},
                        {"x.swp", ""},
                        {"a/x.py~", ""},
                        {"4913", ""},
                        {".#x", ""},
                        {"#x#", ""},
                        {"a.tmp", ""},
                        {"a/b.pyc", ""},
                        {".nfs0001", ""},
                        {"x.py", ""},
                        {"~", ""},
                        {"swp", ""},
                        {"#", ""},
                        {"##", ""},
                        {".nfs", ""},
                        {"14913", ""},
                        {"node_modules.txt", ""}});
  CHECK(tree.files() == Names{"#", "##", ".nfs", "14913", "node_modules.txt", "swp", "x.py", "~"});
}

TEST_CASE("folder rules: the closer file counts for more, --ignore for most, the defaults for least") {
  const RuledTree tree({{".gitignore", "*.log\n/data\n!node_modules\n"},
                        {"x.log", ""},
                        {"data/d", ""},
                        {"a/.gitignore", "!x.log\nown\n"},
                        {"a/x.log", ""},
                        {"a/y.log", ""},
                        {"a/data/d", ""},
                        {"a/own", ""},
                        {"own", ""},
                        {"node_modules/m.js", ""},
                        {"b.py", ""}});
  CHECK(tree.files() == Names{"a/data/d", "a/x.log", "b.py", "node_modules/m.js", "own"});
  CHECK(tree.files("", {"*.js", "!y.log", "a/data"}) == Names{"a/x.log", "a/y.log", "b.py", "own"});
}

TEST_CASE("folder rules: nothing below an ignored folder is included again, and .git never") {
  const RuledTree tree(
      {{".gitignore", "out/\n!out/keep\n!.git\n!*/\n"}, {"out/keep", ""}, {".git/HEAD", ""}, {"p", ""}});
  // `!*/` comes after `out/`: the folder itself is included, so what is in it is seen.
  CHECK(tree.files() == Names{"out/keep", "p"});
  tree.put(".gitignore", "out/\n!out/keep\n!.git\n");
  CHECK(tree.files() == Names{"p"});
}

TEST_CASE("folder rules: those of the repository above a target hold in it, those above the repository do not") {
  const RuledTree tree({{".gitignore", "*.py\n"},
                        {"repo/.git/info/exclude", "*.mine\n"},
                        {"repo/.gitignore", "*.log\n/app/gen\n"},
                        {"repo/app/x.py", ""},
                        {"repo/app/x.log", ""},
                        {"repo/app/x.mine", ""},
                        {"repo/app/gen/g", ""}});
  CHECK(tree.files("repo/app") == Names{"x.py"});
  SUBCASE("without a repository only the target's own") {
    fs::remove_all(tree.dir.path("repo/.git"));
    CHECK(tree.files("repo/app") == Names{"gen/g", "x.log", "x.mine", "x.py"});
  }
  SUBCASE("a target that they ignore is watched all the same") {
    CHECK(tree.files("repo/app/gen") == Names{"g"});
  }
  SUBCASE("a linked work tree shares the exclude file of its repository") {
    tree.put("repo/.git/worktrees/w/commondir", "../..\n");
    tree.put("linked/.git", "gitdir: " + tree.dir.path("repo/.git/worktrees/w") + "\n");
    tree.put("linked/y.mine", "");
    tree.put("linked/y.py", "");
    CHECK(tree.files("linked") == Names{"y.py"});
  }
}

TEST_CASE("folder rules: a .gitignore that is a link, a folder or too large holds no rules") {
  const RuledTree tree({{"rules", "*.py\n"}, {"x.py", ""}, {"a/.gitignore/x", ""}, {"a/y.py", ""}});
  fs::create_symlink("rules", tree.dir.path(".gitignore"));
  CHECK(tree.files() == Names{"a/.gitignore/x", "a/y.py", "rules", "x.py"});
  fs::remove(tree.dir.path(".gitignore"));
  tree.put(".gitignore", "*.py\n" + std::string(2 << 20, '#'));
  const ContentHash hash = hash_targets(WatchScope({tree.dir.path()}));
  REQUIRE(hash.notes.size() == 1);
  CHECK(hash.notes[0].find(".gitignore") != std::string::npos);
  CHECK(hash.files == 4);
}

TEST_CASE("folder rules: what they ignore and they themselves are no part of the content") {
  const RuledTree tree({{".gitignore", "*.log\n"}, {"x.py", "1"}});
  const WatchScope scope({tree.dir.path()});
  const std::string before = hash_targets(scope).hex;
  tree.put("x.log", "1");
  CHECK(hash_targets(scope).hex == before);
  tree.put(".gitignore", "*.log\n*.dat\n");
  CHECK(hash_targets(scope).hex == before);
  tree.put(".gitignore", "");
  CHECK(hash_targets(scope).hex != before);
}

}  // namespace zeroth
