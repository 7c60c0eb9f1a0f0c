/* A GPU driver's library that knows two GPUs nobody has, so that clients that can name GPUs only have some to name.
   Nothing runs on them: endpoints on them are created stopped. */

#include <stdio.h>
#include <string.h>

typedef void *device;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } memory;

static const char *const NAMES[] = {"NVIDIA L40", "NVIDIA H200"};
static const unsigned long long GIBS[] = {48, 141};
static int at(device it) { return (int)(long)it - 1; }

int nvmlInit_v2(void) { return 0; }
int nvmlInitWithFlags(unsigned int flags) { (void)flags; return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { (void)code; return "an error"; }

int nvmlDeviceGetCount_v2(unsigned int *count) {
    *count = 2;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device *it) {
    *it = (device)(long)(index + 1);
    return index < 2 ? 0 : 2;
}

int nvmlDeviceGetMemoryInfo_v2(device it, memory *info) {
    info->total = info->free = GIBS[at(it)] << 30;
    info->reserved = info->used = 0;
    return 0;
}

int nvmlDeviceGetComputeRunningProcesses_v3(device it, unsigned int *count, void *infos) {
    (void)it, (void)infos;
    *count = 0;
    return 0;
}

int nvmlDeviceGetUUID(device it, char *text, unsigned int n) {
    snprintf(text, n, "GPU-00000000-0000-4000-8000-00000000000%d", at(it));
    return 0;
}

int nvmlDeviceGetName(device it, char *text, unsigned int n) {
    snprintf(text, n, "%s", NAMES[at(it)]);
    return 0;
}
