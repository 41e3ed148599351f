#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/exit_codes.h"
#include "common/signals.h"
#include "common/text.h"
#include "worker/cli/compile_command.h"
#include "worker/cli/conformance_command.h"
#include "worker/cli/run_command.h"
#include "worker/cli/serve_command.h"

namespace zeroth {
namespace {

struct Verb {
  std::string_view name, arguments, help;
  int (*function)(std::span<char* const> words);  // the words behind the verb; returns the exit status
};

constexpr Verb kVerbs[] = {
    {"compile", "IN.zero [OUT.z] [--diagnostics=text|json]", "write a program in its compiled form", compile_command},
    {"check", "FILE [--diagnostics=text|json]", "say whether a program compiles", check_command},
    {"run", "FILE --iterations N [--state-in F] [--state-out F] [--halflife H] [--observe-at 5,9,100]",
     "run a program without a supervisor, as fast as possible", run_command},
    {"serve", "FILE [--rate R] [--halflife H] [--path SHOWN] [--diagnostics=text|json]",
     "run a program under a supervisor, which sets ZEROTH_FD", serve_command},
    {"conformance", "[--demands] -- CMD...", "check a worker against the worker protocol, one line per rule",
     conformance_command},
};

std::string usage_line(const Verb& verb) {
  return "zeroth-worker " + std::string(verb.name) + " " + std::string(verb.arguments) + "\n    " +
         std::string(verb.help) + "\n";
}

std::string usage() {
  std::string text = "usage:\n";
  for (const Verb& verb : kVerbs) text += usage_line(verb);
  return text + "zeroth-worker --version\n";
}

int print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  return std::fflush(stdout) == 0 ? kExitOk : kExitFailed;
}

int unknown_verb(std::string_view word) {
  std::vector<std::string_view> names;
  for (const Verb& verb : kVerbs) names.push_back(verb.name);
  const std::string_view meant = nearest(word, names);
  const std::string hint = meant.empty() ? "see zeroth-worker --help" : "did you mean '" + std::string(meant) + "'?";
  std::fprintf(stderr, "zeroth-worker: unknown verb '%s', %s\n", escape_control(word).c_str(), hint.c_str());
  return kExitUsage;
}

int run_verb(std::string_view name, std::span<char* const> words) {
  for (const Verb& verb : kVerbs) {
    if (verb.name != name) continue;
    if (!words.empty() && std::string_view(words[0]) == "--help") return print("usage:\n" + usage_line(verb));
    return verb.function(words);
  }
  return unknown_verb(name);
}

int run(std::span<char* const> words) {
  if (words.empty()) {
    std::fputs(usage().c_str(), stderr);
    return kExitUsage;
  }
  const std::string_view word = words[0];
  if (word == "--help" || word == "-h" || word == "help") return print(usage());
  if (word == "--version") return print("zeroth-worker " ZEROTH_VERSION "\n");
  return run_verb(word, words.subspan(1));
}

}  // namespace
}  // namespace zeroth

int main(int argc, char** argv) {
  zeroth::reset_signals();
  return zeroth::run(std::span<char* const>(argv, static_cast<std::size_t>(argc)).subspan(argc > 0 ? 1 : 0));
}
