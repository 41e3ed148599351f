#include "common/worker_protocol.h"

#include <algorithm>

#include "common/json_fields.h"
#include "common/text.h"

namespace zeroth {
namespace {

struct CapabilityName {
  std::string_view name;
  bool Capabilities::*flag;
};
constexpr CapabilityName kCapabilities[] = {
    {"checkpoint", &Capabilities::checkpoint}, {"restore", &Capabilities::restore}, {"hold", &Capabilities::hold},
    {"drain", &Capabilities::drain},           {"call", &Capabilities::call},       {"env", &Capabilities::env},
    {"reexec", &Capabilities::reexec},
};

Result<std::optional<Capabilities>> parse_capabilities(const Json& data) {
  auto names = optional_field<std::vector<std::string>>(data, "capabilities");
  if (!names) return fail(std::move(names.error()));
  if (!*names) return std::optional<Capabilities>();
  Capabilities found;
  for (const CapabilityName& known : kCapabilities) {
    found.*known.flag = std::find((*names)->begin(), (*names)->end(), known.name) != (*names)->end();
  }
  return std::optional(found);
}

Result<std::vector<CommandInfo>> parse_commands(const Json& data) {
  std::vector<CommandInfo> commands;
  const Json* list = find_member(data, "commands");
  if (list == nullptr || list->is_null()) return commands;
  if (!list->is_array()) return fail("commands: expected an array");
  for (const Json& entry : *list) {
    auto name = required_field<std::string>(entry, "name");
    if (!name) return fail(std::move(name.error()).in("commands"));
    const Json* params = find_member(entry, "params");
    commands.push_back(
        {std::move(*name), field_or<std::string>(entry, "help", ""), params != nullptr ? *params : Json()});
  }
  return commands;
}

Result<Migration> parse_migrate(const Json& data) {
  Migration migrate;
  const Json* value = find_member(data, "migrate");
  if (value == nullptr || value->is_null()) return migrate;
  if (value->is_boolean()) {
    migrate.any = value->get<bool>();
    return migrate;
  }
  const auto is_name = [](const Json& name) { return name.is_string() && !name.get_ref<const std::string&>().empty(); };
  if (!value->is_array() || !std::all_of(value->begin(), value->end(), is_name))
    return fail("migrate: expected true or a list of the schemas it can take, each a name");
  for (const Json& name : *value) migrate.from.push_back(name.get<std::string>());
  return migrate;
}

Result<std::string> parse_schema(const Json& data) {
  auto schema = optional_field<std::string>(data, "schema");
  if (!schema) return fail(std::move(schema.error()));
  if (*schema && (*schema)->size() > kMaxSchema)
    return fail("schema: a name of " + std::to_string((*schema)->size()) + " bytes, at most " +
                std::to_string(kMaxSchema) + " are taken");
  return schema->value_or("");
}

Json to_json(const Migration& migrate) {
  return migrate.any ? Json(true) : Json(migrate.from);
}

Json to_json(const NameCount& names) {
  return {{"count", names.count}, {"names", names.names}};
}

Result<NameCount> parse_name_count(const Json& result, std::string_view member) {
  NameCount parsed;
  const Json* value = find_member(result, member);
  if (value == nullptr || value->is_null()) return parsed;
  auto count = required_field<std::uint64_t>(*value, "count");
  if (!count) return fail(std::move(count.error()).in(member));
  auto names = optional_field<std::vector<std::string>>(*value, "names");
  if (!names) return fail(std::move(names.error()).in(member));
  parsed.count = *count;
  if (*names) parsed.names = std::move(**names);
  return parsed;
}

}  // namespace

Json to_json(const Hello& hello) {
  Json data = {{"protocol", hello.protocol}, {"name", hello.name}, {"version", hello.version}, {"pid", hello.pid}};
  if (!hello.key.empty()) data["key"] = hello.key;
  return data;
}

Result<Hello> parse_hello(const Json& data) {
  auto protocol = required_field<std::int64_t>(data, "protocol");
  if (!protocol) return fail(std::move(protocol.error()).in("hello"));
  if (*protocol != kWorkerProtocol) {
    return fail("hello: the worker speaks protocol " + std::to_string(*protocol) + ", this supervisor speaks " +
                std::to_string(kWorkerProtocol));
  }
  Hello hello;
  hello.name = field_or<std::string>(data, "name", "");
  hello.version = field_or<std::string>(data, "version", "");
  hello.pid = field_or<std::int64_t>(data, "pid", 0);
  hello.key = field_or<std::string>(data, "key", "");
  return hello;
}

Json to_json(const Capabilities& capabilities) {
  Json names = Json::array();
  for (const CapabilityName& known : kCapabilities) {
    if (capabilities.*known.flag) names.push_back(known.name);
  }
  return names;
}

bool SchemaRule::takes(std::string_view of_state) const {
  if (of_state.empty() || schema.empty() || of_state == schema || migrate.any) return true;
  return std::find(migrate.from.begin(), migrate.from.end(), of_state) != migrate.from.end();
}

bool SchemaRule::migrates(std::string_view of_state) const {
  return !of_state.empty() && !schema.empty() && of_state != schema && takes(of_state);
}

std::string SchemaRule::refusal(std::string_view of_state) const {
  std::string known;
  for (const std::string& one : migrate.from) known += (known.empty() ? "" : ", ") + one;
  return "the state has schema " + escape_control(of_state) + ", the code has " + escape_control(schema) +
         (known.empty() ? " and announced no migration" : " and migrates only " + escape_control(known));
}

Json to_json(const Loaded& loaded) {
  Json commands = Json::array();
  for (const CommandInfo& command : loaded.commands) {
    commands.push_back({{"name", command.name}, {"help", command.help}, {"params", command.params}});
  }
  Json data = {
      {"capabilities", to_json(loaded.capabilities)}, {"commands", std::move(commands)}, {"schema", loaded.schema}};
  data["program"] = {{"path", loaded.program_path}, {"hash", loaded.program_hash}};
  if (!loaded.migrate.none()) data["migrate"] = to_json(loaded.migrate);
  if (!loaded.initial.is_null()) data["initial"] = loaded.initial;
  return data;
}

Result<Loaded> parse_loaded(const Json& data) {
  Loaded loaded;
  auto capabilities = parse_capabilities(data);
  if (!capabilities) return fail(std::move(capabilities.error()).in("loaded"));
  if (*capabilities) loaded.capabilities = **capabilities;
  auto commands = parse_commands(data);
  if (!commands) return fail(std::move(commands.error()).in("loaded"));
  loaded.commands = std::move(*commands);
  auto schema = parse_schema(data);
  if (!schema) return fail(std::move(schema.error()).in("loaded"));
  loaded.schema = std::move(*schema);
  auto migrate = parse_migrate(data);
  if (!migrate) return fail(std::move(migrate.error()).in("loaded"));
  loaded.migrate = std::move(*migrate);
  if (const Json* program = find_member(data, "program")) {
    loaded.program_path = field_or<std::string>(*program, "path", "");
    loaded.program_hash = field_or<std::string>(*program, "hash", "");
  }
  if (const Json* initial = find_member(data, "initial")) loaded.initial = *initial;
  return loaded;
}

Result<Ready> parse_ready(const Json& data) {
  Ready ready;
  auto capabilities = parse_capabilities(data);
  if (!capabilities) return fail(std::move(capabilities.error()).in("ready"));
  ready.capabilities = *capabilities;
  auto commands = parse_commands(data);
  if (!commands) return fail(std::move(commands.error()).in("ready"));
  ready.commands = std::move(*commands);
  return ready;
}

Json to_json(const StateFile& file) {
  return {{"path", file.path}, {"offset", file.offset}, {"length", file.length}};
}

Result<StateFile> parse_state_file(const Json& value) {
  auto path = required_field<std::string>(value, "path");
  if (!path) return fail(std::move(path.error()).in("state_file"));
  auto offset = required_field<std::uint64_t>(value, "offset");
  if (!offset) return fail(std::move(offset.error()).in("state_file"));
  return StateFile{std::move(*path), *offset, field_or<std::uint64_t>(value, "length", 0)};
}

std::string encode_restore(const Json& id, const RestoreHead& head, std::string_view state) {
  Json params = {{"generation", head.generation}, {"cause", head.cause},
                 {"schema", head.schema},         {"age_s", head.age_s},
                 {"same_boot", head.same_boot},   {"from_generation", head.from_generation}};
  if (head.state_file) params["state_file"] = to_json(*head.state_file);
  if (head.fresh) params["fresh"] = true;
  std::string text = dump(params);
  text.pop_back();
  std::string line = R"({"id":)" + dump(id) + R"(,"command":"restore","params":)" + text;
  if (!head.state_file) {
    line += R"(,"state":)";
    line.append(state.empty() ? "null" : state);
  }
  line += "}}\n";
  return line;
}

Result<RestoreHead> parse_restore_head(const Json& params) {
  RestoreHead head;
  auto generation = required_field<std::uint64_t>(params, "generation");
  if (!generation) return fail(std::move(generation.error()).in("restore"));
  head.generation = *generation;
  head.cause = field_or<std::string>(params, "cause", "start");
  head.schema = field_or<std::string>(params, "schema", "");
  head.age_s = field_or<double>(params, "age_s", 0);
  head.same_boot = field_or<bool>(params, "same_boot", true);
  head.from_generation = field_or<std::uint64_t>(params, "from_generation", 0);
  head.fresh = field_or<bool>(params, "fresh", false);
  const Json* file = find_member(params, "state_file");
  if (file != nullptr && !file->is_null()) {
    auto parsed = parse_state_file(*file);
    if (!parsed) return fail(std::move(parsed.error()).in("restore"));
    head.state_file = std::move(*parsed);
  }
  return head;
}

Json to_json(const ReexecOrder& order) {
  Json params = {{"generation", order.generation}, {"cause", order.cause}, {"emergency_file", order.emergency_file}};
  if (!order.program.empty()) params["program"] = order.program;
  if (!order.changed.empty()) params["changed"] = order.changed;
  if (order.changed_more > 0) params["changed_more"] = order.changed_more;
  return params;
}

Result<ReexecOrder> parse_reexec(const Json& params) {
  auto generation = required_field<std::uint64_t>(params, "generation");
  if (!generation) return fail(std::move(generation.error()).in("reexec"));
  auto file = required_field<std::string>(params, "emergency_file");
  if (!file) return fail(std::move(file.error()).in("reexec"));
  ReexecOrder order;
  order.generation = *generation;
  order.emergency_file = std::move(*file);
  order.cause = field_or<std::string>(params, "cause", "edit");
  order.program = field_or<std::string>(params, "program", "");
  order.changed = field_or<std::string>(params, "changed", "");
  order.changed_more = field_or<std::uint64_t>(params, "changed_more", 0);
  return order;
}

NameCount NameCount::of(const std::vector<std::string>& all) {
  constexpr std::size_t kShown = 20;
  return {all.size(), {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), kShown))}};
}

Json to_json(const RestoreSummary& report) {
  Json json = {{"kept", to_json(report.kept)},
               {"added", to_json(report.added)},
               {"removed", to_json(report.removed)},
               {"renamed", to_json(report.renamed)},
               {"warnings", report.warnings}};
  if (report.rewritten.count > 0) json["rewritten"] = to_json(report.rewritten);
  return json;
}

Result<RestoreSummary> parse_restore_summary(const Json& result) {
  RestoreSummary report;
  const std::pair<const char*, NameCount RestoreSummary::*> members[] = {{"kept", &RestoreSummary::kept},
                                                                         {"added", &RestoreSummary::added},
                                                                         {"removed", &RestoreSummary::removed},
                                                                         {"renamed", &RestoreSummary::renamed},
                                                                         {"rewritten", &RestoreSummary::rewritten}};
  for (const auto& [name, member] : members) {
    auto parsed = parse_name_count(result, name);
    if (!parsed) return fail(std::move(parsed.error()).in("restore"));
    report.*member = std::move(*parsed);
  }
  auto warnings = optional_field<std::vector<std::string>>(result, "warnings");
  if (!warnings) return fail(std::move(warnings.error()).in("restore"));
  if (*warnings) report.warnings = std::move(**warnings);
  auto iteration = optional_field<std::uint64_t>(result, "iteration");
  if (!iteration) return fail(std::move(iteration.error()).in("restore"));
  report.iteration = *iteration;
  return report;
}

Result<CheckpointReply> parse_checkpoint_reply(const Json& result) {
  CheckpointReply reply;
  auto bytes = optional_field<std::uint64_t>(result, "bytes");
  if (!bytes) return fail(std::move(bytes.error()).in("checkpoint"));
  reply.bytes = *bytes;
  reply.unchanged = field_or<bool>(result, "unchanged", false);
  auto iteration = optional_field<std::uint64_t>(result, "iteration");
  if (!iteration) return fail(std::move(iteration.error()).in("checkpoint"));
  reply.iteration = *iteration;
  auto schema = parse_schema(result);
  if (!schema) return fail(std::move(schema.error()).in("checkpoint"));
  reply.schema = std::move(*schema);
  reply.pause_ms = field_or<double>(result, "pause_ms", 0);
  const bool has_state = find_member(result, "state") != nullptr;
  if (int(has_state) + int(reply.bytes.has_value()) + int(reply.unchanged) != 1) {
    return fail("checkpoint: expected exactly one of state, bytes, unchanged");
  }
  return reply;
}

Beat parse_beat(const Json& data) {
  Beat beat;
  auto iteration = optional_field<std::uint64_t>(data, "iteration");
  if (iteration) beat.iteration = *iteration;
  if (const Json* metrics = find_member(data, "metrics"); metrics != nullptr && metrics->is_object())
    beat.metrics = *metrics;
  if (const Json* status = find_member(data, "status")) beat.status = *status;
  return beat;
}

}  // namespace zeroth
