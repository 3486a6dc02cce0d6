/* panel_kernels.h - the sets of kernels that panel.c chooses from. */
#ifndef RS_PANEL_KERNELS_H
#define RS_PANEL_KERNELS_H
#include "nn/panel.h"

extern const rs_panel_kernels rs_panel_plain_f32, rs_panel_plain_f64;
extern const rs_panel_kernels rs_panel_avx2, rs_panel_avx512; /* where RS_PANEL_X86 is defined: float */

#endif
