// Whatever comes in on a channel or control socket: decoding never crashes, and what was decoded encodes to a line that
// decodes again.

#include <cstdint>
#include <cstdlib>

#include "common/message.h"

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace zeroth;
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  auto message = decode_message(line, {.exempt_state = true});
  if (!message) return 0;
  std::string again;
  if (const auto* request = std::get_if<Request>(&*message)) {
    again = encode_request(request->id, request->command, request->params);
  } else if (const auto* event = std::get_if<Event>(&*message)) {
    again = encode_event(event->name, event->data);
  } else {
    const auto& response = std::get<Response>(*message);
    again = response.outcome ? encode_result_text(response.id, response.result_text)
                             : encode_refusal(response.id, response.outcome.error());
  }
  check(!again.empty() && again.back() == '\n');
  again.pop_back();
  check(decode_message(again, {.exempt_state = true}).has_value());
  return 0;
}
