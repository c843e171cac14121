#include "tests/wire/codec/random_frame.h"

#include <string>

namespace potluck::wire {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

class Filler {
 public:
  explicit Filler(std::mt19937& random) : random_(random) {}

  void Fill(Message& message) {
    const auto* descriptor = message.GetDescriptor();
    const Reflection& reflection = *message.GetReflection();
    for (int i = 0; i < descriptor->field_count(); ++i) {
      const FieldDescriptor* field = descriptor->field(i);
      const auto* choice = field->real_containing_oneof();
      if (choice != nullptr) {
        if (reflection.HasOneof(message, choice)) continue;
        field = choice->field(static_cast<int>(Draw(choice->field_count())));
      }
      const int count = field->is_repeated() ? 1 + static_cast<int>(Draw(3)) : 1;
      for (int n = 0; n < count; ++n) Set(message, field);
    }
    Repair(message);
  }

 private:
  uint32_t Draw(int below) { return random_() % static_cast<uint32_t>(below); }

  void Set(Message& message, const FieldDescriptor* field) {
    const Reflection& reflection = *message.GetReflection();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return Fill(field->is_repeated() ? *reflection.AddMessage(&message, field)
                                       : *reflection.MutableMessage(&message, field));
    }
    const auto number = static_cast<int32_t>(1 + Draw(1'000'000));
    const auto set = [&](auto add, auto assign, auto value) {
      field->is_repeated() ? (reflection.*add)(&message, field, value)
                           : (reflection.*assign)(&message, field, value);
    };
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return set(&Reflection::AddInt32, &Reflection::SetInt32, number);
      case FieldDescriptor::CPPTYPE_INT64:
        return set(&Reflection::AddInt64, &Reflection::SetInt64, int64_t{number} * 1001);
      case FieldDescriptor::CPPTYPE_UINT32:
        // Numbers of tensor types among others: F16, BF16.
        return set(&Reflection::AddUInt32, &Reflection::SetUInt32, Draw(2) == 0 ? 1u : 30u);
      case FieldDescriptor::CPPTYPE_UINT64:
        return set(&Reflection::AddUInt64, &Reflection::SetUInt64, uint64_t{random_()} << 32 | 1);
      case FieldDescriptor::CPPTYPE_FLOAT:
        return set(&Reflection::AddFloat, &Reflection::SetFloat, 1.0F / static_cast<float>(number));
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return set(&Reflection::AddDouble, &Reflection::SetDouble, 1.0 / number);
      case FieldDescriptor::CPPTYPE_BOOL:
        return set(&Reflection::AddBool, &Reflection::SetBool, true);
      case FieldDescriptor::CPPTYPE_ENUM: {
        const int value = 1 + static_cast<int>(Draw(field->enum_type()->value_count() - 1));
        return reflection.SetEnumValue(&message, field, value);
      }
      case FieldDescriptor::CPPTYPE_STRING: {
        const bool is_digest = field->type() == FieldDescriptor::TYPE_BYTES;
        std::string text(is_digest ? 32 : 1 + Draw(30), 'a');
        for (char& c : text) c = static_cast<char>(is_digest ? Draw(256) : 'a' + Draw(26));
        field->is_repeated() ? reflection.AddString(&message, field, text)
                             : reflection.SetString(&message, field, text);
        return;
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return;
    }
  }

  // What a field may be beside another.
  void Repair(Message& message) {
    if (auto* range = dynamic_cast<v1::StageRange*>(&message)) {
      range->set_last_cut(range->first_cut() + 1 + Draw(9));
      range->set_num_shards(2 + static_cast<int>(Draw(5)));
      range->set_shard(1);
    } else if (auto* status = dynamic_cast<v1::Status*>(&message)) {
      status->set_code(1 + static_cast<int>(Draw(16)));
    } else if (auto* prepare = dynamic_cast<v1::Prepare*>(&message)) {
      prepare->set_num_stages(2 + static_cast<int>(Draw(9)));
      prepare->set_stage(1);
    } else if (auto* welcome = dynamic_cast<v1::Welcome*>(&message)) {
      welcome->set_heartbeat_interval_ns(500'000'000 + Draw(1000));
    } else if (auto* start = dynamic_cast<v1::SequenceStart*>(&message)) {
      start->set_top_logprobs(1 + static_cast<int>(Draw(20)));
    } else if (auto* frame = dynamic_cast<v1::StageFrame*>(&message)) {
      frame->set_hidden_width(1 + Draw(9));
      frame->set_hidden_dtype(0);
      for (int i = 0; i < frame->tokens_size(); ++i)
        frame->mutable_tokens(i)->set_parent_plus_one(static_cast<int>(Draw(i + 1)));
    }
  }

  std::mt19937& random_;
};

void VisitFields(Message& message, const Visit& visit) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
      for (int i = 0; i < count; ++i) {
        VisitFields(field->is_repeated() ? *reflection.MutableRepeatedMessage(&message, field, i)
                                         : *reflection.MutableMessage(&message, field),
                    visit);
      }
    }
    visit(message, field);
  }
}

}  // namespace

std::vector<const FieldDescriptor*> MessageKinds() {
  std::vector<const FieldDescriptor*> kinds;
  const auto* choice = v1::Frame::descriptor()->FindOneofByName("message");
  for (int i = 0; i < choice->field_count(); ++i)
    if (choice->field(i)->name() != "goodbye") kinds.push_back(choice->field(i));
  return kinds;
}

v1::Frame RandomFrame(const FieldDescriptor* kind, std::mt19937& random) {
  v1::Frame frame;
  Filler(random).Fill(*frame.GetReflection()->MutableMessage(&frame, kind));
  size_t bulk_bytes = 0;
  if (frame.has_stage_frame()) {
    bulk_bytes = static_cast<size_t>(frame.stage_frame().tokens_size()) *
                 static_cast<size_t>(frame.stage_frame().hidden_width()) * sizeof(float);
  } else if (frame.has_step_result()) {
    bulk_bytes = sizeof(float) * (1 + random() % 100);
  } else if (frame.has_ping() || frame.has_manifest_reply() || frame.has_chunk_piece()) {
    bulk_bytes = 1 + random() % 1000;
  }
  for (size_t i = 0; i < bulk_bytes; ++i)
    frame.mutable_bulk()->push_back(static_cast<char>(random()));
  return frame;
}

void ForEachField(v1::Frame& frame, const Visit& visit) {
  std::vector<const FieldDescriptor*> fields;
  frame.GetReflection()->ListFields(frame, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
      VisitFields(*frame.GetReflection()->MutableMessage(&frame, field), visit);
  }
}

}  // namespace potluck::wire
