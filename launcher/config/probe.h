/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"

G_BEGIN_DECLS

/**
 * CvdQemuTools:
 * @binary: absolute path of the QEMU binary
 * @accel: (array zero-terminated=1): the accelerators of the configuration that can be used here
 * @refused: (nullable): why another one of them cannot
 *
 * What a configuration's names turned out to mean on this machine.
 */
typedef struct {
    char *binary;
    char **accel;
    char *refused;
} CvdQemuTools;

void cvd_qemu_tools_clear(CvdQemuTools *tools);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdQemuTools, cvd_qemu_tools_clear)

/**
 * cvd_config_probe:
 * @config: a configuration
 * @tools: (inout): what was there is cleared; gets what was found, also where there are problems
 * @problems: (element-type utf8): as cvd_config_load()
 *
 * Looks for the QEMU binary, the kernel, initrd, firmware and disk files, the host programs and,
 * if `accel` names kvm, tries /dev/kvm; logs what the sandbox denies. Creates nothing.
 */
gboolean cvd_config_probe(const CvdConfig *config, CvdQemuTools *tools, GPtrArray *problems);

/**
 * cvd_kernel_misfit:
 * @path: of a kernel
 * @binary: path of a QEMU
 *
 * Returns: (nullable): the architecture of a kernel that a QEMU of that name cannot run; %NULL if
 *   it can, or if that cannot be known
 */
const char *cvd_kernel_misfit(const char *path, const char *binary);

/**
 * cvd_kvm_try:
 * @run_as: (nullable): who is to use KVM
 *
 * Makes an empty VM and drops it.
 *
 * Returns: 0, or the errno that says why KVM is of no use
 */
int cvd_kvm_try(const CvdRunAs *run_as);
/** cvd_kvm_remedy: Returns: what to do about an @error of cvd_kvm_try() */
const char *cvd_kvm_remedy(int error);

G_END_DECLS
