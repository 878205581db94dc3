/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client session, in both dialects (FUZZ_DIALECT): the first byte of the input says how the rest
 * is cut. Whatever a client says, its session ends when it leaves, and holds nothing then.
 */
#include "server/client-session.h"
#include "tests/fuzz/fuzz.h"

#include "base/fd.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static CvdClientService service;
static guint n_closed;

static void on_attached(gpointer owner, CvdClientSession *session, const char *region)
{
    if (cvd_layout_find(service.served.layout, region, strlen(region)) < 0)
        abort();
}

/* Somebody else has it, unless it is the first that this one asks for. */
static gboolean on_claim(gpointer owner, CvdClientSession *session, guint region)
{
    return session->given < 0;
}

static char *describe_holder(gpointer owner, guint region)
{
    return g_strnfill(2 * VSOC_WIRE_REFUSAL_SIZE, 'x');
}

static gboolean is_held(gpointer owner, guint region, int *pid)
{
    *pid = 77;
    return TRUE;
}

static void on_closing(gpointer owner, CvdClientSession *session)
{
    n_closed++;
}

static CvdLayout *make_layout(void)
{
    static const char *const names[] = {"a", "sensors", "fifteen-letters", "GET"};
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();
    g_autoptr(GPtrArray) problems =
        g_ptr_array_new_with_free_func((GDestroyNotify)cvd_layout_problem_free);

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        cvd_layout_spec_add(spec, names[i], CVD_PAGE_SIZE, 0, 0);
    g_array_index(spec->regions, CvdRegionSpec, 1).is_exclusive = TRUE;
    return cvd_layout_new(spec, problems);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_init();
    service = (CvdClientService){
        .served =
            {
                .layout = make_layout(),
                .doorbells = cvd_doorbells_new(4, NULL),
                .window_fd = memfd_create("window", MFD_CLOEXEC),
                .read_only_window_fd = memfd_create("window", MFD_CLOEXEC),
                .access = cvd_access_rules_new_default(),
                .version_reply = VSOC_WIRE_VERSION_REPLY,
            },
        .timeout_us = G_USEC_PER_SEC,
        .attached = on_attached,
        .claim = on_claim,
        .describe_holder = describe_holder,
        .is_held = is_held,
        .closing = on_closing,
    };
    return 0;
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    CvdClientSession session;
    int peer;
    int fd = fuzz_connect(&peer);
    guint n_before = n_closed;
    guint8 seed = size > 0 ? *data++ : 0;

    size -= size > 0;
    cvd_client_session_init(&session, &service, fd, FUZZ_DIALECT, 1);
    cvd_client_session_run(&session, 1);
    while (size > 0 && session.fd >= 0) {
        gsize n = fuzz_chunk(&seed, size);
        if (send(peer, data, n, MSG_DONTWAIT | MSG_NOSIGNAL) < (gssize)n)
            break;
        data += n;
        size -= n;
        cvd_client_session_run(&session, 2);
        fuzz_drain(peer);
    }
    shutdown(peer, SHUT_WR);
    /* Each run reads a little of what was sent, and an answer may wait for room. */
    for (guint i = 0; i < 1000 && session.fd >= 0; i++) {
        cvd_client_session_run(&session, 3);
        fuzz_drain(peer);
    }
    if (session.fd >= 0)
        cvd_client_session_expire(&session);
    close(peer);
    if (n_closed != n_before + 1 || session.fd >= 0)
        abort();
    return 0;
}
