// Gathers the functions of elementwise_kernels.cc and attention_kernels.cc for one instruction set.
#include "kernels/cpu/float_kernels.h"

#include "kernels/cpu/float_kernel_functions.h"

namespace potluck::kernels {

extern const FloatKernels POTLUCK_FOR_TARGET(FloatKernels) = {
    .rms_norm = POTLUCK_FOR_TARGET(RmsNormRow),
    .rope_angles = POTLUCK_FOR_TARGET(RopeAngles),
    .rope_halves = POTLUCK_FOR_TARGET(RopeHalves),
    .rope_pairs = POTLUCK_FOR_TARGET(RopePairs),
    .gated_activation = POTLUCK_FOR_TARGET(GatedActivationRow),
    .add = POTLUCK_FOR_TARGET(AddRow),
    .scale = POTLUCK_FOR_TARGET(ScaleRow),
    .soft_cap = POTLUCK_FOR_TARGET(SoftCapRow),
    .softmax = POTLUCK_FOR_TARGET(SoftmaxRow),
    .expert_combine = POTLUCK_FOR_TARGET(ExpertCombineRow),
    .encode_kv = POTLUCK_FOR_TARGET(EncodeKv),
    .attention_scores = POTLUCK_FOR_TARGET(AttentionScores),
    .attention_softmax = POTLUCK_FOR_TARGET(AttentionSoftmax),
    .attention_values = POTLUCK_FOR_TARGET(AttentionValues),
    .attention_merge = POTLUCK_FOR_TARGET(AttentionMerge),
    .attention_finish = POTLUCK_FOR_TARGET(AttentionFinish),
};

}  // namespace potluck::kernels
