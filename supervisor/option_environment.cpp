#include "supervisor/option_environment.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdlib>
#include <string>
#include <utility>

#include "common/text.h"

namespace zeroth {
namespace {

constexpr std::uint16_t kControlPort = 4040;  // of Zero programs, unless chosen

struct EnvironmentValue {
  const char* variable;
  const char* option;
  std::string Options::*target;
};
constexpr EnvironmentValue kEnvironment[] = {
    {"ZEROTH_STATE_DIR", "--state-dir", &Options::state_dir},
    {"ZEROTH_RUNTIME_DIR", "--runtime-dir", &Options::runtime_dir},
    {"ZEROTH_PID_FILE", "--pid-file", &Options::pid_file},
};

Status apply_control_port(Options& o) {
  if (o.control_port_chosen) return {};
  if (const char* text = std::getenv("ZEROTH_CONTROL_PORT"); text != nullptr && *text != '\0') {
    o.origins["control-port"] = "environment";
    return choose_control_port(o, text, "ZEROTH_CONTROL_PORT");
  }
  if (!o.program.empty()) o.control_port = kControlPort;
  return {};
}

}  // namespace

Status choose_control_port(Options& o, const std::string& text, const std::string& whose) {
  std::uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, port);
  const bool number = error == std::errc() && at == end;
  if (!number && text != "off") return fail(whose + ": '" + escape_control(text) + "' is neither a port nor off");
  o.control_port = number ? std::optional(port) : std::nullopt;
  o.control_port_chosen = true;
  return {};
}

Status apply_environment(const CLI::App& app, Options& o) {
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    if (name.starts_with("-") && name != "--help")
      o.origins[name.substr(name.find_first_not_of('-'))] = option->count() > 0 ? "flag" : "default";
  }
  for (const auto& [what, given] : {std::pair("program", !o.program.empty()), std::pair("command", !o.command.empty()),
                                    std::pair("fleet", !o.fleet.empty())}) {
    if (given) o.origins[what] = "flag";
  }
  for (const EnvironmentValue& value : kEnvironment) {
    const char* text = std::getenv(value.variable);
    if (text == nullptr || *text == '\0' || app.count(value.option) > 0) continue;
    o.*value.target = text;
    o.origins[std::string(value.option).substr(2)] = "environment";
  }
  if (Status chosen = apply_control_port(o); !chosen) return chosen;
  if (o.poll) o.watch_interval = Milliseconds(1000);
  o.origins["watch-interval"] = "default";
  if (const char* text = std::getenv("ZEROTH_WATCH_INTERVAL"); text != nullptr && *text != '\0') {
    auto interval = parse_duration(text);
    if (!interval || interval->count() == 0)
      return fail("ZEROTH_WATCH_INTERVAL: '" + escape_control(text) + "' is not a time above 0");
    o.watch_interval = *interval;
    o.origins["watch-interval"] = "environment";
  }
  return {};
}

}  // namespace zeroth
