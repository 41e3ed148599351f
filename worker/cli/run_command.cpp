#include "worker/cli/run_command.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string>

#include "common/exit_codes.h"
#include "common/files.h"
#include "common/text.h"
#include "common/unique_fd.h"
#include "worker/cli/arguments.h"
#include "worker/language/load.h"
#include "worker/vm/state_codec.h"
#include "worker/vm/vm.h"

namespace zeroth {
namespace {

constexpr Option kRunOptions[] = {
    {"--iterations", "N", "how many iterations to run"},
    {"--state-in", "FILE", "restore this state document before; - is stdin"},
    {"--state-out", "FILE", "write the state document after; - is stdout"},
    {"--halflife", "H", "iterations after which half of a divergence is left, 100 unless restored"},
    {"--observe-at", "LIST", "observe after these iterations of this run, as in 5,9,100"},
};

struct RunOptions {
  std::uint64_t iterations = 0;
  std::optional<std::string> state_in, state_out;
  std::optional<double> halflife;
  std::vector<std::uint64_t> observe_at;  // ascending
};

Result<std::vector<std::uint64_t>> parse_iterations(std::string_view text, std::uint64_t last) {
  std::vector<std::uint64_t> list;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const auto number = parse_count("--observe-at", text.substr(at, comma - at));
    if (!number) return fail(number.error());
    if (*number == 0 || *number > last) {
      return fail("--observe-at: " + std::to_string(*number) + " is not one of the iterations 1 to " +
                  std::to_string(last));
    }
    list.push_back(*number);
    at = comma + 1;
  }
  std::sort(list.begin(), list.end());
  return list;
}

Result<RunOptions> read_options(const Arguments& arguments) {
  RunOptions options;
  const auto iterations = arguments.value("--iterations");
  if (!iterations) return fail("--iterations N is missing");
  const auto count = parse_count("--iterations", *iterations);
  if (!count) return fail(count.error());
  options.iterations = *count;
  if (const auto text = arguments.value("--halflife")) {
    const auto halflife = parse_real("--halflife", *text);
    if (!halflife) return fail(halflife.error());
    if (!(*halflife > 0)) return fail("--halflife must be above 0");
    options.halflife = *halflife;
  }
  if (const auto text = arguments.value("--observe-at")) {
    auto list = parse_iterations(*text, options.iterations);
    if (!list) return fail(list.error());
    options.observe_at = std::move(*list);
  }
  if (const auto path = arguments.value("--state-in")) options.state_in = std::string(*path);
  if (const auto path = arguments.value("--state-out")) options.state_out = std::string(*path);
  return options;
}

Result<std::string> read_all(int fd) {
  std::string text;
  struct stat info {};
  constexpr std::size_t kPiece = 64 * 1024;
  std::size_t room = ::fstat(fd, &info) == 0 && info.st_size > 0 ? static_cast<std::size_t>(info.st_size) + 1 : kPiece;
  for (std::size_t size = 0;; room = std::max(kPiece, text.size())) {
    text.resize(size + room);
    while (size < text.size()) {
      const ssize_t got = ::read(fd, text.data() + size, text.size() - size);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail(last_error("read"));
      if (got == 0) {
        text.resize(size);
        return text;
      }
      size += static_cast<std::size_t>(got);
    }
  }
}

Result<std::string> read_document(const std::string& path) {
  if (path == "-") return read_all(STDIN_FILENO);
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(last_error("open"));
  return read_all(fd.get());
}

// A file appears whole under its name, or stays as it was.
Status write_document(const State& state, const std::string& path) {
  const auto write_to = [&](int fd) {
    return encode_state(state, [fd](std::string_view piece) { return write_all(fd, piece); });
  };
  return path == "-" ? write_to(STDOUT_FILENO) : replace_file(path, 0666, write_to);
}

void say(std::string_view kind, std::string_view text) {
  std::fprintf(stderr, "zeroth-worker: %.*s%s\n", static_cast<int>(kind.size()), kind.data(),
               std::string(text).c_str());
}

Status restore_from(Vm& vm, const std::string& path) {
  const auto document = read_document(path);
  if (!document) return fail(document.error());
  auto state = decode_state(*document, vm.state().states);
  if (!state) return fail(state.error());
  for (const std::string& warning : vm.restore(std::move(*state)).warnings) say("warning: ", warning);
  return {};
}

void run_iterations(Vm& vm, const RunOptions& options) {
  std::uint64_t done = 0;
  const auto run_to = [&](std::uint64_t end) {
    for (; done < end; ++done) vm.step();
  };
  for (const std::uint64_t at : options.observe_at) {
    run_to(at);
    (void)vm.observe({});  // without a target it cannot fail
  }
  run_to(options.iterations);
}

}  // namespace

int run_command(std::span<char* const> words) {
  const auto arguments = Arguments::parse(words, kRunOptions, 1);
  if (!arguments) return say("", arguments.error().message), kExitUsage;
  if (arguments->positionals().empty()) return say("", "no file is given"), kExitUsage;
  const auto options = read_options(*arguments);
  if (!options) return say("", options.error().message), kExitUsage;
  const std::string file(arguments->positionals()[0]);
  auto program = load_program(file);
  if (!program) {
    std::fputs(render_text(file, program.error().diagnostics).c_str(), stderr);
    return program.error().exit_code;
  }
  Vm vm = Vm::create(std::move(*program), options->halflife);
  if (options->state_in) {
    if (const Status restored = restore_from(vm, *options->state_in); !restored) {
      say("", escape_control(*options->state_in) + ": " + restored.error().message);
      return restored.error().code == ENOENT ? kExitNotFound : kExitFailed;
    }
  }
  run_iterations(vm, *options);
  if (options->state_out) {
    if (const Status written = write_document(vm.state(), *options->state_out); !written) {
      say("", "--state-out: " + written.error().message);
      return kExitFailed;
    }
  }
  return kExitOk;
}

}  // namespace zeroth
