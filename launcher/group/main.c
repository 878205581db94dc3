/* SPDX-License-Identifier: Apache-2.0 */
/* cvd-up: starts the machines of a group, by a cvd-launch each. */
#include "base/complete.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "launcher/config/config.h"
#include "launcher/group/indices.h"
#include "launcher/group/options.h"
#include "launcher/group/up.h"
#include "launcher/options.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static GArray *choose(const CvdConfig *config, const CvdUpOptions *options, GError **error)
{
    const CvdGroup single = {NULL, 1, 1, 1};

    if (config->group.name != NULL)
        return cvd_indices_parse(options->indices, &config->group, error);
    if (options->indices == NULL)
        return cvd_indices_parse(NULL, &single, error);
    cvd_fail(
        error, CVD_ERROR_INVALID,
        "--index %s: %s has no \"instances\", so it is one machine; name the configuration of a "
        "group, or leave --index out",
        options->indices, options->config);
    return NULL;
}

static int run(const CvdUpOptions *options)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    const CvdConfigSource source = {
        .path = options->config,
        .overrides = (const char *const *)options->overrides,
        .may_choose = TRUE,
    };
    g_autoptr(CvdConfig) config = cvd_config_load(&source, problems);

    if (config == NULL) {
        cvd_config_log_problems(problems);
        return CVD_EXIT_USAGE;
    }
    g_autoptr(GArray) indices = choose(config, options, &error);
    if (indices != NULL)
        return cvd_up(config, options, indices);
    g_critical("%s", error->message);
    return CVD_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    g_auto(CvdUpOptions) options = {0};
    g_autoptr(GError) error = NULL;

    if (cvd_fd_fill_stdio() < 0)
        return EXIT_FAILURE;
    if (cvd_complete_is_asked((const char *const *)argv))
        return cvd_up_options_complete(argv + 2);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* whoever ignores it gets no wait status, and we may inherit that */
    cvd_log_init("cvd-up", FALSE);
    if (!cvd_up_options_parse((const char *const *)argv, &options, &error)) {
        g_critical("%s", error->message);
        return CVD_EXIT_USAGE;
    }
    if (!options.version)
        return run(&options);
    return puts("cvd-up " CVD_VERSION) >= 0 && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
