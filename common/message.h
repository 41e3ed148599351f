#pragma once
// The one message shape of the project (protocol.md of the design): newline-delimited JSON objects that are a request,
// a response or an event. Used on the worker's channel and on the control socket, by both ends.

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/json.h"
#include "common/json_reader.h"
#include "common/result.h"

namespace zeroth {

// Longest line either side may send, without its line feed.
inline constexpr std::size_t kMaxLine = 1 << 20;

enum class ErrorCode {
  BadRequest,
  UnknownCommand,
  BadParams,
  NotFound,
  Refused,
  Busy,
  Timeout,
  Unauthorized,
  Unavailable,
  Failed,
};
std::string_view to_string(ErrorCode code);
std::optional<ErrorCode> parse_error_code(std::string_view name);

// Why a request did not succeed, as it is sent.
struct Refusal {
  ErrorCode code = ErrorCode::Failed;
  std::string message;
  std::string hint;  // what to do; "" for none
  Json data;         // more for programs; null for none
};

// A refusal as the error of a Result.
inline tl::unexpected<Refusal> refuse(ErrorCode code, std::string message, std::string hint = "", Json data = nullptr) {
  return tl::unexpected(Refusal{code, std::move(message), std::move(hint), std::move(data)});
}

struct Request {
  Json id;  // string or integer
  std::string command;
  Json params = Json::object();
  std::optional<double> timestamp;  // seconds since 1970, of the asker
  Json token;                       // control over TCP only; null if absent
};

struct Response {
  Json id;
  tl::expected<Json, Refusal> outcome;
  std::string_view result_text;  // the result's own bytes inside the decoded line; valid as long as that line is
};

struct Event {
  std::string name;
  Json data = Json::object();
};

using Message = std::variant<Request, Response, Event>;

struct Undecodable {
  Json id;             // of the line, if it could be told
  std::string reason;  // for the bad_request answer
  bool close;          // the line was not one JSON object at all: answer, then close the connection
  Json token = {};     // as in Request
};

// Decodes one line (without its line feed).
tl::expected<Message, Undecodable> decode_message(std::string_view line, const JsonLimits& limits = {});

// Each gives one line with its line feed.
std::string encode_request(const Json& id, std::string_view command, const Json& params);
std::string encode_event(std::string_view name, const Json& data);
std::string encode_result(const Json& id, const Json& result);
// The result is JSON text already.
std::string encode_result_text(const Json& id, std::string_view result);
std::string encode_refusal(const Json& id, const Refusal& refusal);

}  // namespace zeroth
