#include "worker/cli/compile_command.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>

#include "common/exit_codes.h"
#include "common/files.h"
#include "common/text.h"
#include "common/unique_fd.h"
#include "worker/cli/arguments.h"
#include "worker/language/load.h"
#include "worker/language/zfile.h"

namespace zeroth {
namespace {

constexpr Option kCompileOptions[] = {
    {"--diagnostics", "text|json", "how errors in the program are written to stderr"}};

struct Call {
  std::string in, out;  // paths; `out` is empty if not given
  bool json = false;
};

Result<Call> parse_call(std::span<char* const> words, std::size_t max_positionals) {
  const auto arguments = Arguments::parse(words, kCompileOptions, max_positionals);
  if (!arguments) return fail(arguments.error());
  const auto& paths = arguments->positionals();
  if (paths.empty()) return fail("no file is given");
  const std::string_view form = arguments->value("--diagnostics").value_or("text");
  if (form != "text" && form != "json") return fail("--diagnostics is text or json, not " + in_quotes(form));
  return Call{std::string(paths[0]), paths.size() > 1 ? std::string(paths[1]) : "", form == "json"};
}

int complain(std::string_view verb, const std::string& message, int exit_code) {
  std::fprintf(stderr, "zeroth-worker %.*s: %s\n", static_cast<int>(verb.size()), verb.data(), message.c_str());
  return exit_code;
}

int report(const Call& call, const LoadFailure& failure) {
  const auto render = call.json ? render_json : render_text;
  std::fputs(render(call.in, failure.diagnostics).c_str(), stderr);
  return failure.exit_code;
}

// Beside the source; for a .z itself, which check_output refuses.
std::string default_output(std::string_view in) {
  if (in.ends_with(".z")) return std::string(in);
  if (in.ends_with(".zero")) in.remove_suffix(5);
  return std::string(in) + ".z";
}

// Fails if replacing `out` would lose more than an older .z: the source itself, a device, a folder.
Status check_output(const std::string& in, const std::string& out) {
  struct stat source, target;
  if (::stat(out.c_str(), &target) != 0) return {};
  if (!S_ISREG(target.st_mode)) return fail(escape_control(out) + ": is not a regular file", EISDIR);
  const bool same =
      ::stat(in.c_str(), &source) == 0 && source.st_dev == target.st_dev && source.st_ino == target.st_ino;
  if (same) return fail(escape_control(out) + ": is the file to compile, name another one", EEXIST);
  return {};
}

std::string counted(std::size_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string summary(const std::string& file, const Program& program) {
  char epsilon[32];
  const auto end = std::to_chars(epsilon, epsilon + sizeof epsilon, program.epsilon).ptr;
  return escape_control(file) + ": " + counted(program.states.size(), "state") + ", " +
         counted(program.alignments.size(), "alignment") + ", epsilon " + std::string(epsilon, end) + "\n";
}

}  // namespace

int compile_command(std::span<char* const> words) {
  const auto call = parse_call(words, 2);
  if (!call) return complain("compile", call.error().message, kExitUsage);
  const auto program = load_program(call->in);
  if (!program) return report(*call, program.error());
  const std::string out = call->out.empty() ? default_output(call->in) : call->out;
  Status status = check_output(call->in, out);
  if (status) status = write_file_atomically(out, encode(*program), 0666);
  if (status) return kExitOk;
  const int code = status.error().code;
  return complain("compile", status.error().message, code == EEXIST ? kExitUsage : exit_code_for(code));
}

int check_command(std::span<char* const> words) {
  const auto call = parse_call(words, 1);
  if (!call) return complain("check", call.error().message, kExitUsage);
  const auto program = load_program(call->in);
  if (!program) return report(*call, program.error());
  std::fputs(summary(call->in, *program).c_str(), stdout);
  if (std::fflush(stdout) != 0) return complain("check", last_error("stdout").message, kExitFailed);
  return kExitOk;
}

}  // namespace zeroth
