// Weights in and out of the CPU's panels (panel_layout.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/panel_layout.h"
#include "kernels/dtype.h"

namespace potluck::kernels {

// Bytes of one panel: 16 rows of `cols` values.
int64_t PanelBytes(DType dtype, int64_t cols);
// Of `values` values of each row: one block, or one value for float types.
int64_t PanelBlockBytesOf(DType dtype);

// Lays num_rows (1..16) rows in the file's layout, one after another, into a zeroed panel.
void PackPanel(DType dtype, const std::byte* rows, int num_rows, int64_t cols, uint8_t* panel);

// The values of one row (0..15) of a panel as floats.
void DecodePanelRow(DType dtype, const uint8_t* panel, int row, int64_t cols, float* out);
// One panel block of a quantised type as (values, 16) floats.
void DecodePanelBlock(DType dtype, const uint8_t* block, float* out);

}  // namespace potluck::kernels
