/* clones.h - RS_CLONES marks a plain C kernel to be compiled for several CPUs, chosen at run time. Without
 * contraction (-ffp-contract=off) all give the same bits. Sanitizers instrument what runs before they are set up,
 * so their builds have one version. */
#ifndef RS_CLONES_H
#define RS_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define RS_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define RS_CLONES
#endif

#endif
