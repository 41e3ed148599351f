#include "common/message.h"

#include <array>

#include "common/json_fields.h"

namespace zeroth {
namespace {

constexpr std::array<std::pair<ErrorCode, std::string_view>, 10> kErrorCodes = {{
    {ErrorCode::BadRequest, "bad_request"},
    {ErrorCode::UnknownCommand, "unknown_command"},
    {ErrorCode::BadParams, "bad_params"},
    {ErrorCode::NotFound, "not_found"},
    {ErrorCode::Refused, "refused"},
    {ErrorCode::Busy, "busy"},
    {ErrorCode::Timeout, "timeout"},
    {ErrorCode::Unauthorized, "unauthorized"},
    {ErrorCode::Unavailable, "unavailable"},
    {ErrorCode::Failed, "failed"},
}};

bool is_id(const Json& value) {
  return value.is_string() || value.is_number_integer();
}

Json token_of(const Json& object) {
  const Json* token = find_member(object, "token");
  return token != nullptr ? *token : Json();
}

tl::expected<Message, Undecodable> to_request(const Json& object, const Json& id) {
  if (!is_id(id)) return tl::unexpected(Undecodable{nullptr, "id: expected a string or a whole number", false});
  Request request;
  request.id = id;
  auto command = required_field<std::string>(object, "command");
  if (!command) return tl::unexpected(Undecodable{id, command.error().message, false});
  request.command = std::move(*command);
  if (const Json* params = find_member(object, "params"); params != nullptr && !params->is_null()) {
    if (!params->is_object()) return tl::unexpected(Undecodable{id, "params: expected an object", false});
    request.params = *params;
  }
  auto timestamp = optional_field<double>(object, "timestamp");
  if (!timestamp) return tl::unexpected(Undecodable{id, timestamp.error().message, false});
  request.timestamp = *timestamp;
  request.token = token_of(object);
  return request;
}

Refusal to_refusal(const Json& object) {
  const Json* error = find_member(object, "error");
  if (error == nullptr || !error->is_object()) return {ErrorCode::Failed, "failed without saying why", "", nullptr};
  Refusal refusal;
  refusal.code = parse_error_code(field_or<std::string>(*error, "code", "")).value_or(ErrorCode::Failed);
  refusal.message = field_or<std::string>(*error, "message", "failed without saying why");
  refusal.hint = field_or<std::string>(*error, "hint", "");
  if (const Json* data = find_member(*error, "data")) refusal.data = *data;
  return refusal;
}

Message to_response(const Json& object, const Json& id, bool success, std::string_view line) {
  Response response{id, Json(), {}};
  if (success) {
    const Json* result = find_member(object, "result");
    response.outcome = result != nullptr ? *result : Json();
    response.result_text = json_span(line, "result");
  } else {
    response.outcome = tl::unexpected(to_refusal(object));
  }
  return response;
}

std::string finish(std::string line) {
  line += '\n';
  return line;
}

}  // namespace

std::string_view to_string(ErrorCode code) {
  for (const auto& [value, name] : kErrorCodes) {
    if (value == code) return name;
  }
  return "failed";
}

std::optional<ErrorCode> parse_error_code(std::string_view name) {
  for (const auto& [value, known] : kErrorCodes) {
    if (known == name) return value;
  }
  return std::nullopt;
}

tl::expected<Message, Undecodable> decode_message(std::string_view line, const JsonLimits& limits) {
  auto parsed = parse_json(line, limits);
  if (!parsed) return tl::unexpected(Undecodable{nullptr, parsed.error().message, true});
  const Json& object = parsed->value;
  if (!object.is_object()) return tl::unexpected(Undecodable{nullptr, "not a JSON object", true});
  const Json* id_member = find_member(object, "id");
  const Json id = id_member != nullptr ? *id_member : Json();
  if (!parsed->duplicate_key.empty()) {
    return tl::unexpected(
        Undecodable{is_id(id) ? id : Json(), "duplicate key '" + parsed->duplicate_key + "'", false, token_of(object)});
  }
  if (const Json* event = find_member(object, "event"); event != nullptr && event->is_string()) {
    const Json* data = find_member(object, "data");
    return Event{event->get<std::string>(), data != nullptr ? *data : Json::object()};
  }
  if (const Json* success = find_member(object, "success"); success != nullptr && success->is_boolean()) {
    return to_response(object, id, success->get<bool>(), line);
  }
  auto request = to_request(object, id);
  if (!request) request.error().token = token_of(object);
  return request;
}

std::string encode_request(const Json& id, std::string_view command, const Json& params) {
  return finish(dump(Json{{"id", id}, {"command", command}, {"params", params}}));
}

std::string encode_event(std::string_view name, const Json& data) {
  return finish(dump(Json{{"event", name}, {"data", data}}));
}

std::string encode_result(const Json& id, const Json& result) {
  return encode_result_text(id, dump(result));
}

std::string encode_result_text(const Json& id, std::string_view result) {
  std::string line = R"({"id":)" + dump(id) + R"(,"success":true,"result":)";
  line.append(result.empty() ? "null" : result);
  return finish(line + R"(,"error":null})");
}

std::string encode_refusal(const Json& id, const Refusal& refusal) {
  Json error = {{"code", to_string(refusal.code)}, {"message", refusal.message}};
  if (!refusal.hint.empty()) error["hint"] = refusal.hint;
  if (!refusal.data.is_null()) error["data"] = refusal.data;
  return finish(dump(Json{{"id", id}, {"success", false}, {"result", nullptr}, {"error", std::move(error)}}));
}

}  // namespace zeroth
