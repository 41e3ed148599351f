// The other way round: options as a person typed them, and as `zerothctl config` shows them.

#include "common/text.h"
#include "supervisor/option_names.h"

namespace zeroth {

std::string quoted_command(const std::vector<std::string>& words) {
  constexpr std::string_view kUnquoted = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=@%+,-";
  std::string line;
  for (const std::string& word : words) {
    std::string quoted = word;
    if (word.empty() || word.find_first_not_of(kUnquoted) != std::string::npos) {
      quoted = "'";
      for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
      quoted += "'";
    }
    line += (line.empty() ? "" : " ") + escape_control(quoted);
  }
  return line;
}

bool same_settings(const Options& a, const Options& b) {
  Options x = a, y = b;
  x.origins = y.origins = Json();
  x.again = y.again = {};
  x.fresh = y.fresh = false;
  return x == y;
}

Json describe(const Options& o) {
  const auto ms = [](Milliseconds duration) { return Json(duration.count()); };
  Json limits = Json::array();
  for (const auto& [resource, value] : o.limits) limits.push_back({resource, value});
  Json values = {{"program", o.program},
                 {"fleet", o.fleet},
                 {"limits", std::move(limits)},
                 {"command", o.command},
                 {"name", o.name},
                 {"protocol", o.protocol},
                 {"cwd", o.cwd},
                 {"user", o.user},
                 {"env-file", o.env_files},
                 {"listen", o.listen},
                 {"stdin", o.give_stdin},
                 {"rate", o.rate ? Json(*o.rate) : Json(60.0)},
                 {"halflife", o.halflife ? Json(*o.halflife) : Json()},
                 {"watch", o.watch},
                 {"ignore", o.ignore},
                 {"debounce", o.debounce ? ms(*o.debounce) : Json()},
                 {"watch-interval", ms(o.watch_interval)},
                 {"poll", o.poll},
                 {"no-watch", o.no_watch},
                 {"reload", name_of_value(kReloadModes, o.reload)},
                 {"restart", name_of_value(kRestartOn, o.restart)},
                 {"min-uptime", ms(o.min_uptime)},
                 {"max-failures", o.max_failures},
                 {"backoff-max", ms(o.backoff_max)},
                 {"retry-failed", ms(o.retry_failed)},
                 {"on-failure", o.exit_on_failure ? "exit" : "retry"},
                 {"start-timeout", ms(o.start_timeout)},
                 {"drain-timeout", ms(o.drain_timeout)},
                 {"stop-timeout", ms(o.stop_timeout)},
                 {"health", o.health},
                 {"health-interval", ms(o.health_interval)},
                 {"health-timeout", ms(o.health_timeout)},
                 {"health-failures", o.health_failures},
                 {"max-memory", o.max_memory},
                 {"cron", o.cron},
                 {"state-dir", o.state_dir},
                 {"runtime-dir", o.runtime_dir},
                 {"pid-file", o.pid_file},
                 {"control-port", o.control_port ? Json(*o.control_port) : Json("off")},
                 {"checkpoint-interval", ms(o.checkpoint_interval)},
                 {"checkpoint-rate", o.checkpoint_rate},
                 {"state-file", o.state_file},
                 {"state-signal", o.state_signal},
                 {"state-command", o.state_command},
                 {"max-snapshot-age", o.max_snapshot_age ? ms(*o.max_snapshot_age) : Json()},
                 {"keep-bytes", o.keep_bytes},
                 {"fresh", o.fresh},
                 {"adopt", o.adopt},
                 {"strict", o.strict},
                 {"verify-restore", o.verify_restore},
                 {"on-loss", name_of_value(kOnLoss, o.on_loss)},
                 {"no-sidecar", o.no_sidecar},
                 {"log-format", name_of_value(kLogFormats, o.log_format)},
                 {"log-file", o.log_file},
                 {"raw", o.raw}};
  Json env_names = Json::array();  // values may be secrets
  for (const std::string& assignment : o.env) env_names.push_back(assignment.substr(0, assignment.find('=')));
  values["env"] = std::move(env_names);
  Json described = Json::object();
  for (const auto& [name, value] : values.items()) {
    const auto origin = o.origins.find(name);
    described[name] = {{"value", value}, {"origin", origin != o.origins.end() ? *origin : Json("default")}};
  }
  return described;
}

}  // namespace zeroth
