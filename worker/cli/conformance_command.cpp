#include "worker/cli/conformance_command.h"

#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "common/exit_codes.h"
#include "common/text.h"
#include "worker/cli/arguments.h"
#include "worker/conformance/rules.h"

namespace zeroth {
namespace {

using namespace conformance;

constexpr int kCannotRun = 127;          // as a shell says it
constexpr std::size_t kOutputLines = 5;  // of the worker's own, shown with a rule that failed

constexpr Option kConformanceOptions[] = {{"--demands", "", "only say what the rules are"}};

int complain(const std::string& message, int exit_code) {
  std::fprintf(stderr, "zeroth-worker conformance: %s\n", message.c_str());
  return exit_code;
}

std::vector<Rule> all_rules() {
  std::vector<Rule> rules;
  for (const auto part : {start_rules(), request_rules(), cut_rules(), exec_rules(), end_rules()})
    rules.insert(rules.end(), part.begin(), part.end());
  return rules;
}

// Where the processes under test find their files; gone with everything in it at the end.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "zeroth-conformance-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~Folder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Tally {
  int held = 0, failed = 0, skipped = 0;
};

void print_output(const std::string& output) {
  std::size_t from = output.size();
  for (std::size_t lines = 0; from > 0; --from) {
    if (output[from - 1] == '\n' && from != output.size() && ++lines == kOutputLines) break;
  }
  std::string_view rest = std::string_view(output).substr(from);
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::printf("         | %s\n", escape_control(rest.substr(0, end)).c_str());
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

void report(const Rule& rule, const Finding& finding, const Bench& bench, Tally& tally) {
  const bool failed = finding.outcome == Outcome::Fail;
  const char* mark = failed ? "FAIL" : finding.outcome == Outcome::Ok ? "ok" : "skip";
  ++(failed ? tally.failed : finding.outcome == Outcome::Ok ? tally.held : tally.skipped);
  const std::string detail = finding.detail.empty() ? "" : " — " + escape_control(finding.detail);
  std::printf("%-4s  %s%s\n", mark, std::string(rule.name).c_str(), detail.c_str());
  if (failed) {
    std::printf("         rule: %s\n", std::string(rule.demands).c_str());
    print_output(bench.last_output());
  }
  std::fflush(stdout);
}

int try_all(Bench& bench) {
  Tally tally;
  for (const Rule& rule : all_rules()) {
    const bool tried = rule.needs == Stage::Spawned || bench.loaded;
    report(rule, tried ? rule.check(bench) : skip("it does not get as far as loaded"), bench, tally);
  }
  std::printf("%d rules hold, %d failed, %d skipped\n", tally.held, tally.failed, tally.skipped);
  return tally.failed == 0 ? kExitOk : kExitFailed;
}

}  // namespace

int conformance_command(std::span<char* const> words) {
  // Everything behind "--" is the command, whatever it looks like.
  std::size_t separator = 0;
  while (separator < words.size() && std::string_view(words[separator]) != "--") ++separator;
  auto arguments = Arguments::parse(words.first(separator), kConformanceOptions, 0);
  if (!arguments) return complain(arguments.error().message, kExitUsage);
  if (arguments->has("--demands")) {
    for (const Rule& rule : all_rules())
      std::printf("%-28s %s\n", std::string(rule.name).c_str(), std::string(rule.demands).c_str());
    return kExitOk;
  }
  if (separator + 1 >= words.size()) return complain("no command is given: conformance -- CMD…", kExitUsage);
  std::vector<std::string> command(words.begin() + static_cast<std::ptrdiff_t>(separator) + 1, words.end());
  const Folder folder;
  if (folder.path().empty()) return complain(last_error("making a temporary folder").message, kExitFailed);
  Bench bench(std::move(command), folder.path());
  if (auto subject = bench.start(Stage::Spawned); !subject)
    return complain("cannot run " + subject.error().message, kCannotRun);
  return try_all(bench);
}

}  // namespace zeroth
