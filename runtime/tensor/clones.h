/* clones.h - RS_CLONES marks a plain C kernel to be compiled for several CPUs, chosen at run time. Without
 * contraction (-ffp-contract=off) all give the same bits. Chosen by feature: by name (arch=...) GCC would know only the
 * CPUs of its day, and take the plain version on a younger one. Sanitizers instrument what runs before they are set up,
 * so their builds have one version; so have those of clang, in whose version 14 other files do not find a clone. */
#ifndef RS_CLONES_H
#define RS_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define RS_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define RS_CLONES
#endif

#endif
