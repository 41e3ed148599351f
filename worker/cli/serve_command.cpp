#include "worker/cli/serve_command.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "common/exit_codes.h"
#include "common/worker_protocol.h"
#include "worker/cli/arguments.h"
#include "worker/host/channel.h"
#include "worker/host/host.h"
#include "worker/language/load.h"

namespace zeroth {
namespace {

constexpr double kMaxRate = 1e6;  // iterations/s; beyond it the schedule is noise, 0 is faster

constexpr Option kServeOptions[] = {
    {"--rate", "R", "iterations per second, 0 for as fast as possible (60)"},
    {"--halflife", "H", "iterations after which half of a divergence is left, 100 unless restored"},
    {"--path", "SHOWN", "the name the user knows the file by"},
    {"--diagnostics", "text|json", "how errors in the program are written to stderr"},
};

struct ServeOptions {
  std::string file;
  HostSettings settings;
  bool json = false;
};

// The words that start this again.
void note_words(const Arguments& arguments, HostSettings& settings) {
  settings.argv = {program_invocation_name, "serve", std::string(arguments.positionals()[0])};
  settings.program_word = 2;
  for (const Option& option : kServeOptions) {
    const auto value = arguments.value(option.name);
    if (value) settings.argv.insert(settings.argv.end(), {std::string(option.name), std::string(*value)});
  }
}

Result<ServeOptions> read_options(std::span<char* const> words) {
  auto arguments = Arguments::parse(words, kServeOptions, 1);
  if (!arguments) return fail(arguments.error());
  if (arguments->positionals().empty()) return fail("no file is given");
  ServeOptions options;
  note_words(*arguments, options.settings);
  options.file = arguments->positionals()[0];
  options.settings.program_path = arguments->value("--path").value_or(options.file);
  options.json = arguments->value("--diagnostics") == "json";
  if (const auto text = arguments->value("--rate")) {
    auto rate = parse_real("--rate", *text);
    if (!rate) return fail(rate.error());
    if (*rate < 0 || *rate > kMaxRate) return fail("--rate must be between 0 and 1000000");
    options.settings.rate = *rate;
  }
  if (const auto text = arguments->value("--halflife")) {
    auto halflife = parse_real("--halflife", *text);
    if (!halflife) return fail(halflife.error());
    if (!(*halflife > 0)) return fail("--halflife must be above 0");
    options.settings.halflife = *halflife;
  }
  return options;
}

int complain(const std::string& message) {
  std::fprintf(stderr, "zeroth-worker serve: %s\n", message.c_str());
  return kExitUsage;
}

}  // namespace

int serve_command(std::span<char* const> words) {
  auto options = read_options(words);
  if (!options) return complain(options.error().message);
  auto channel = Channel::from_environment();
  if (!channel) return complain(channel.error().message + "; this verb is for zeroth-supervise");
  channel->send(
      encode_event("hello", to_json(Hello{kWorkerProtocol, "zeroth-worker", ZEROTH_VERSION, ::getpid(), ""})));
  auto program = load_program(options->file);
  if (!program) {
    const auto render = options->json ? render_json : render_text;
    std::fputs(render(options->settings.program_path, program.error().diagnostics).c_str(), stderr);
    return program.error().exit_code;
  }
  return Host(std::move(*channel), std::move(*program), std::move(options->settings)).run();
}

}  // namespace zeroth
