#include "supervisor/fleet/fleet_keys.h"

#include <algorithm>

namespace zeroth {
namespace {

constexpr FleetKey kWorkerKeys[] = {
    {"program", KeyKind::Path},
    {"command", KeyKind::Command},
    {"protocol", KeyKind::Flag},
    {"cwd", KeyKind::Path},
    {"user", KeyKind::Value},
    {"env", KeyKind::Variables},
    {"env_file", KeyKind::Paths},
    {"listen", KeyKind::Addresses},
    {"depends_on", KeyKind::Workers},
    {"limits", KeyKind::Limits},
    {"rate", KeyKind::Value},
    {"halflife", KeyKind::Value},
    {"watch", KeyKind::Paths},
    {"ignore", KeyKind::Texts},
    {"debounce", KeyKind::Value},
    {"poll", KeyKind::Flag},
    {"no_watch", KeyKind::Flag},
    {"reload", KeyKind::Text},
    {"restart", KeyKind::Text},
    {"min_uptime", KeyKind::Value},
    {"max_failures", KeyKind::Value},
    {"backoff_max", KeyKind::Value},
    {"retry_failed", KeyKind::Value},
    {"start_timeout", KeyKind::Value},
    {"drain_timeout", KeyKind::Value},
    {"stop_timeout", KeyKind::Value},
    {"health", KeyKind::Text},
    {"health_interval", KeyKind::Value},
    {"health_timeout", KeyKind::Value},
    {"health_failures", KeyKind::Value},
    {"max_memory", KeyKind::Value},
    {"checkpoint_interval", KeyKind::Value},
    {"checkpoint_rate", KeyKind::Value},
    {"state_file", KeyKind::Path},
    {"state_signal", KeyKind::Text},
    {"state_command", KeyKind::Text},
    {"max_snapshot_age", KeyKind::Value},
    {"keep_bytes", KeyKind::Value},
    {"strict", KeyKind::Flag},
    {"replicas", KeyKind::Count},
    {"cron", KeyKind::Text},
};

constexpr FleetKey kFleetKeys[] = {
    {"name", KeyKind::Text},          {"state_dir", KeyKind::Path}, {"runtime_dir", KeyKind::Path},
    {"pid_file", KeyKind::Path},      {"log_file", KeyKind::Path},  {"log_format", KeyKind::Text},
    {"control_port", KeyKind::Value},
};

}  // namespace

std::span<const FleetKey> worker_keys() {
  return kWorkerKeys;
}

std::span<const FleetKey> fleet_keys() {
  return kFleetKeys;
}

const FleetKey* find_key(std::span<const FleetKey> keys, std::string_view name) {
  std::string plain(name);
  std::replace(plain.begin(), plain.end(), '-', '_');
  for (const FleetKey& key : keys) {
    if (key.name == plain) return &key;
  }
  return nullptr;
}

std::string option_of(const FleetKey& key) {
  std::string option(key.name);
  std::replace(option.begin(), option.end(), '_', '-');
  return option;
}

}  // namespace zeroth
