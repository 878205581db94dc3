/* SPDX-License-Identifier: Apache-2.0 */
/* The members are those of QEMU 9. A QEMU that does not know one yet refuses its option. */
#include "launcher/config/qapi-types.h"

/* clang-format off */
#define VARIANTS_END {NULL, NULL, NULL}

const CvdQapiMember cvd_qapi_no_members[] = {CVD_QAPI_MEMBERS_END};

static const CvdQapiMember inet_members[] = {
    {CVD_QAPI_STRING, "host", "host", TRUE, NULL},
    {CVD_QAPI_STRING, "port", "port", TRUE, NULL},
    {CVD_QAPI_INTEGER, "to", "to", FALSE, NULL},
    {CVD_QAPI_BOOLEAN, "ipv4", "ipv4", FALSE, NULL},
    {CVD_QAPI_BOOLEAN, "ipv6", "ipv6", FALSE, NULL},
    CVD_QAPI_MEMBERS_END,
};

static const CvdQapiMember unix_members[] = {
    {CVD_QAPI_PATH, "path", "path", TRUE, NULL},
    {CVD_QAPI_BOOLEAN, "abstract", "abstract", FALSE, NULL},
    {CVD_QAPI_BOOLEAN, "tight", "tight", FALSE, NULL},
    CVD_QAPI_MEMBERS_END,
};

static const CvdQapiMember fd_members[] = {
    {CVD_QAPI_FD, "str", "fd", TRUE, NULL},
    CVD_QAPI_MEMBERS_END,
};

static const CvdQapiVariant socket_addresses[] = {
    {"inet", inet_members, NULL},
    {"unix", unix_members, NULL},
    {"fd", fd_members, NULL},
    VARIANTS_END,
};
static const CvdQapiUnion socket_address = {socket_addresses, cvd_qapi_no_members, NULL, FALSE};

static const CvdQapiMember remote_members[] = {
    {CVD_QAPI_STRING, "host", "host", TRUE, NULL},
    {CVD_QAPI_STRING, "port", "port", TRUE, NULL},
    {CVD_QAPI_BOOLEAN, "ipv4", "ipv4", FALSE, NULL},
    {CVD_QAPI_BOOLEAN, "ipv6", "ipv6", FALSE, NULL},
    CVD_QAPI_MEMBERS_END,
};
static const CvdQapiVariant remote_addresses[] = {{"inet", remote_members, NULL}, VARIANTS_END};
static const CvdQapiUnion remote_address = {remote_addresses, cvd_qapi_no_members, NULL, FALSE};

static const CvdQapiMember local_members[] = {
    {CVD_QAPI_STRING, "host", "localaddr", TRUE, NULL},
    {CVD_QAPI_STRING, "port", "localport", TRUE, NULL},
    CVD_QAPI_MEMBERS_END,
};
static const CvdQapiVariant local_addresses[] = {{"inet", local_members, NULL}, VARIANTS_END};
static const CvdQapiUnion local_address = {local_addresses, cvd_qapi_no_members, NULL, FALSE};

static const CvdQapiMember common_members[] = {
    {CVD_QAPI_PATH, "logfile", "logfile", FALSE, NULL},
    {CVD_QAPI_BOOLEAN, "logappend", "logappend", FALSE, NULL},
    CVD_QAPI_MEMBERS_END,
};

static const CvdQapiMember file_members[] = {
    {CVD_QAPI_PATH, "out", "path", TRUE, NULL},
    {CVD_QAPI_PATH, "in", "input-path", FALSE, NULL}, /* since QEMU 8.1 */
    {CVD_QAPI_BOOLEAN, "append", "append", FALSE, NULL},
    CVD_QAPI_MEMBERS_END,
};

static const CvdQapiMember host_device_members[] = {
    {CVD_QAPI_PATH, "device", "path", TRUE, NULL},
    CVD_QAPI_MEMBERS_END,
};

static const CvdQapiMember socket_members[] = {
    {CVD_QAPI_UNION, "addr", NULL, TRUE, &socket_address},
    {CVD_QAPI_SERVER, "server", "server", FALSE, NULL},
    {CVD_QAPI_WAIT, "wait", "wait", FALSE, NULL},
    {CVD_QAPI_BOOLEAN, "nodelay", "nodelay", FALSE, NULL},
    {CVD_QAPI_BOOLEAN, "telnet", "telnet", FALSE, NULL},
    {CVD_QAPI_BOOLEAN, "tn3270", "tn3270", FALSE, NULL},
    {CVD_QAPI_BOOLEAN, "websocket", "websocket", FALSE, NULL},
    {CVD_QAPI_INTEGER, "reconnect", "reconnect", FALSE, NULL},
    {CVD_QAPI_INTEGER, "reconnect-ms", "reconnect-ms", FALSE, NULL}, /* since QEMU 9.2 */
    {CVD_QAPI_STRING, "tls-creds", "tls-creds", FALSE, NULL},
    {CVD_QAPI_STRING, "tls-authz", "tls-authz", FALSE, NULL},
    CVD_QAPI_MEMBERS_END,
};

static const CvdQapiMember udp_members[] = {
    {CVD_QAPI_UNION, "remote", NULL, TRUE, &remote_address},
    {CVD_QAPI_UNION, "local", NULL, FALSE, &local_address},
    CVD_QAPI_MEMBERS_END,
};

static const CvdQapiMember mux_members[] = {
    {CVD_QAPI_STRING, "chardev", "chardev", TRUE, NULL},
    CVD_QAPI_MEMBERS_END,
};

static const CvdQapiMember ringbuf_members[] = {
    {CVD_QAPI_INTEGER, "size", "size", FALSE, NULL},
    CVD_QAPI_MEMBERS_END,
};

static const CvdQapiMember spicevmc_members[] = {
    {CVD_QAPI_STRING, "type", "name", TRUE, NULL},
    CVD_QAPI_MEMBERS_END,
};

static const CvdQapiMember vdagent_members[] = {
    {CVD_QAPI_BOOLEAN, "mouse", "mouse", FALSE, NULL},
    {CVD_QAPI_BOOLEAN, "clipboard", "clipboard", FALSE, NULL},
    CVD_QAPI_MEMBERS_END,
};

/* In the order of CVD_QAPI_CHARDEV_TYPES. */
static const CvdQapiVariant backends[] = {
    {"socket", socket_members, NULL},
    {"file", file_members, NULL},
    {"pipe", host_device_members, NULL},
    {"null", cvd_qapi_no_members, NULL},
    {"ringbuf", ringbuf_members, NULL},
    {"pty", cvd_qapi_no_members, NULL},
    {"udp", udp_members, NULL},
    {"serial", host_device_members, NULL},
    {"mux", mux_members, NULL},
    {"spicevmc", spicevmc_members, NULL},
    {"qemu-vdagent", vdagent_members, NULL},
    {"msmouse", cvd_qapi_no_members, NULL},
    {"stdio", NULL, "QEMU's stdin and stdout are the launcher's; take \"pty\", or a socket"},
    VARIANTS_END,
};
const CvdQapiUnion cvd_qapi_backend = {backends, common_members, "-chardev", FALSE};

static const CvdQapiMember emulator_members[] = {
    {CVD_QAPI_STRING, "chardev", "chardev", TRUE, NULL},
    CVD_QAPI_MEMBERS_END,
};

static const CvdQapiMember passthrough_members[] = {
    {CVD_QAPI_PATH, "path", "path", FALSE, NULL},
    {CVD_QAPI_PATH, "cancel-path", "cancel-path", FALSE, NULL},
    CVD_QAPI_MEMBERS_END,
};

static const CvdQapiVariant tpms[] = {
    {"emulator", emulator_members, NULL},
    {"passthrough", passthrough_members, NULL},
    VARIANTS_END,
};
const CvdQapiUnion cvd_qapi_tpm = {tpms, cvd_qapi_no_members, "-tpmdev", TRUE};
/* clang-format on */
