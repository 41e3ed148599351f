// What git says of thousands of generated paths under hundreds of generated rules is what we say.

#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <random>

#include "supervisor/watch/tree.h"
#include "tests/support/run_process.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPaths = 5'000;
constexpr std::size_t kPatterns = 200;

// Names that collide often, so that most rules match something.
constexpr std::string_view kNames[] = {
    "a",  "b",  "ab",  "abc", "foo", "bar", "foobar", "a.c", "b.c",  "x.log",    "test", "doc", "out", "a b", "b ",
    "#h", "!n", "a-b", "A",   "B2",  "7",   "x7y",    "[z]", "q\\r", "\xc3\xa4", "fo*o", "a?c", "-",   "]",   "="};
constexpr std::string_view kPieces[] = {
    "*",   "?",     "**",    "/",         "/",    "a",      "b",           "c",           "foo",          "bar",
    "ab",  ".c",    ".log",  "[ab]",      "[!a]", "[^b-z]", "[[:alpha:]]", "[[:digit:]]", "[[:upper:]x]", "[a-f]",
    "[]]", "[]-a]", "[\\]]", "[[:foo:]]", "[z",   "\\a",    "\\*",         "\\ ",         "\\\\",         "\\",
    " ",   "  ",    "!",     "#",         "/**/", "**/",    "/**",         "*/",          "\xc3\xa4",     "\\/",
    "***", "[/]",   "-",     "="};

class Generator {
 public:
  std::size_t below(std::size_t end) { return random_() % end; }
  template <class Array>
  std::string_view one_of(const Array& array) {
    return array[below(std::size(array))];
  }
  // There is a name in each: rules of wildcards alone match everything, which tells nothing of the others.
  std::string pattern() {
    std::string made;
    if (below(3) == 0) made += '!';
    if (below(6) == 0) made += '/';
    const std::size_t pieces = 1 + below(4), named = below(pieces);
    for (std::size_t i = 0; i < pieces; ++i) made += i == named ? one_of(kNames) : one_of(kPieces);
    if (below(6) == 0) made += '/';
    if (below(12) == 0) made += ' ';
    return made;
  }

 private:
  std::mt19937 random_{20240917};
};

// Paths of folders and files in a repository, and rules over several of its folders.
struct Repository {
  Repository() {
    for (std::size_t folders = 0; folders < 200; ++folders) add_folder();
    while (paths.size() < kPaths) add_file();
    std::vector<std::string> ruled{""};
    for (std::size_t i = 0; i < 12; ++i) ruled.push_back(folders_[generate.below(folders_.size())]);
    for (std::size_t i = 0; i < kPatterns; ++i)
      rules[ruled[generate.below(ruled.size())]] += generate.pattern() + (generate.below(9) == 0 ? "\r\n" : "\n");
    for (const auto& [folder, text] : rules) dir.write(join_path(folder, ".gitignore"), text);
    exclude = generate.pattern() + "\n" + generate.pattern() + "\n";
  }

  void add_folder() {
    const std::string path = join_path(folders_[generate.below(folders_.size())], generate.one_of(kNames));
    if (!fs::create_directory(dir.path(path))) return;
    folders_.push_back(path);
    paths.emplace(path, true);
  }
  void add_file() {
    std::string name(generate.one_of(kNames));
    name += generate.one_of(kNames);
    const std::string path = join_path(folders_[generate.below(folders_.size())], name);
    if (fs::exists(dir.path(path))) return;
    dir.write(path, "");
    paths.emplace(path, false);
  }

  Generator generate;
  TempDir dir;
  std::map<std::string, bool> paths;  // is it a folder?
  std::map<std::string, std::string> rules;
  std::string exclude;

 private:
  std::vector<std::string> folders_{""};
};

// Of each path whether git ignores it, and the rule that says so.
std::map<std::string, std::pair<bool, std::string>> ask_git(const Repository& repository) {
  std::string input;
  for (const auto& [path, is_folder] : repository.paths) input += path + '\0';
  // From a file: git answers while it reads, so that two pipes could wait for each other.
  repository.dir.write(".git/paths", input);
  const ProcessResult asked =
      run_process({"sh", "-c", "cd \"$0\" && exec git check-ignore --no-index --stdin -z -v -n < .git/paths",
                   repository.dir.path()},
                  {{"HOME", repository.dir.path()},
                   {"XDG_CONFIG_HOME", repository.dir.path(".git")},
                   {"GIT_CONFIG_NOSYSTEM", "1"}});
  REQUIRE_MESSAGE(asked.exit_code <= 1, asked.err);
  std::vector<std::string> fields;
  for (std::size_t begin = 0; begin < asked.out.size();) {
    const std::size_t end = asked.out.find('\0', begin);
    fields.push_back(asked.out.substr(begin, end - begin));
    begin = end + 1;
  }
  std::map<std::string, std::pair<bool, std::string>> verdicts;
  for (std::size_t i = 0; i + 3 < fields.size(); i += 4) {
    const std::string& pattern = fields[i + 2];
    verdicts[fields[i + 3]] = {!pattern.empty() && !pattern.starts_with('!'), fields[i] + ": " + pattern};
  }
  return verdicts;
}

// Ours: a path is ignored if it or a folder on the way to it is. Defaults are no rules of git's, so no generated name
// is one of theirs.
void ask_ourselves(const std::string& root, const std::string& relative, FolderRulesPtr rules,
                   std::map<std::string, bool>& ignored, bool inside_ignored) {
  const auto entries = list_folder(join_path(root, relative));
  REQUIRE(entries);
  rules = rules_in(rules, join_path(root, relative), *entries, [](const Error& error) { FAIL(error.message); });
  for (const FolderEntry& entry : *entries) {
    if (entry.name == ".git" || entry.name == ".gitignore") continue;
    const std::string path = join_path(relative, entry.name);
    const bool is_folder = entry.kind == FolderEntry::Kind::Folder;
    ignored[path] = inside_ignored || rules->ignores(join_path(root, path), is_folder);
    if (is_folder) ask_ourselves(root, path, rules, ignored, ignored[path]);
  }
}

}  // namespace

TEST_CASE("ignore rules: git check-ignore says the same of 5,000 paths under 200 patterns") {
  if (run_process({"git", "--version"}).exit_code != 0) {
    MESSAGE("skipped: there is no git here");
    return;
  }
  Repository repository;
  REQUIRE(run_process({"git", "init", "-q", repository.dir.path()}).exit_code == 0);
  repository.dir.write(".git/info/exclude", repository.exclude);
  const auto said = ask_git(repository);
  REQUIRE(said.size() == repository.paths.size());

  std::map<std::string, bool> ignored;
  const std::string root = fs::canonical(repository.dir.path()).string();
  const auto above = FolderRules::above(root, [](const Error& error) { FAIL(error.message); });
  ask_ourselves(root, "", above.rules, ignored, false);
  std::size_t differences = 0, both_ignore = 0, ruled = 0;
  for (const auto& [path, verdict] : said) {
    if (ignored.at(path) && verdict.first) ++both_ignore;
    if (verdict.second != ": ") ++ruled;
    if (ignored.at(path) == verdict.first) continue;
    if (++differences <= 10) FAIL_CHECK(path, ": git says ", verdict.first, " by ", verdict.second);
  }
  CHECK(differences == 0);
  CHECK(both_ignore > 500);  // neither all nor nothing: the rules did decide
  CHECK(both_ignore < 4'500);
  MESSAGE("compared ", said.size(), " paths, ", ruled, " under a rule, ", both_ignore, " ignored");
}

}  // namespace zeroth
