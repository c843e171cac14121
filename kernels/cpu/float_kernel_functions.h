// The functions behind one instruction set's FloatKernels (see there for what each does).
#pragma once

#include "kernels/cpu/float_kernels.h"

namespace potluck::kernels {

void POTLUCK_FOR_TARGET(RmsNormRow)(const float*, const float*, float, int64_t, float*);
void POTLUCK_FOR_TARGET(RopeAngles)(const float*, float, float, int64_t, float*, float*);
void POTLUCK_FOR_TARGET(RopeHalves)(float*, float*, const float*, const float*, int64_t);
void POTLUCK_FOR_TARGET(RopePairs)(float*, const float*, const float*, int64_t);
void POTLUCK_FOR_TARGET(GatedActivationRow)(int, const float*, const float*, int64_t, float*);
void POTLUCK_FOR_TARGET(AddRow)(const float*, const float*, int64_t, float*);
void POTLUCK_FOR_TARGET(ScaleRow)(float*, float, int64_t);
void POTLUCK_FOR_TARGET(SoftCapRow)(float*, float, int64_t);
void POTLUCK_FOR_TARGET(SoftmaxRow)(const float*, int64_t, float*);
void POTLUCK_FOR_TARGET(ExpertCombineRow)(const float*, int64_t, const float*, int64_t, int64_t,
                                          float*);
void POTLUCK_FOR_TARGET(EncodeKv)(enum KvEncoding, const float*, int64_t, void*);
void POTLUCK_FOR_TARGET(AttentionScores)(const struct KvRows*, const float*, int64_t, float*);
void POTLUCK_FOR_TARGET(AttentionSoftmax)(float*, int64_t, int64_t, float, float, float*, float*);
void POTLUCK_FOR_TARGET(AttentionValues)(const struct KvRows*, const float*, const int32_t*,
                                         const int32_t*, int64_t, float*);
void POTLUCK_FOR_TARGET(AttentionMerge)(const float*, const float*, const float*, int64_t, float*,
                                        float*, float*);
void POTLUCK_FOR_TARGET(AttentionFinish)(const float*, float, int64_t, float*);

}  // namespace potluck::kernels
