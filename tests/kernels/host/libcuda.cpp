// A CUDA driver that tells its calls: each prints a line, and a launch prints the arguments that it reads. It has one
// device and one kernel, `scale(const float* x, int n, unsigned long long seed, float rate)`. So the way from
// ops/nvrtc/driver.py through cuda-bindings to the driver runs where there is no GPU.
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef void* Handle;
enum { SUCCESS = 0, INVALID_VALUE = 1, NOT_FOUND = 500, OUT_OF_MEMORY = 2 };
static const size_t WIDTHS[] = {8, 4, 8, 4};
static Handle current = nullptr;
static char context, module, kernel;

extern "C" {
int cuGetProcAddress_v2(const char* symbol, void** function, int, unsigned long long, int* status) {
    *function = dlsym(RTLD_DEFAULT, symbol);
    if (!strcmp(symbol, "cuGetProcAddress")) *function = (void*)cuGetProcAddress_v2;
    if (status) *status = *function ? 0 : 1;
    return *function ? SUCCESS : NOT_FOUND;
}
int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int* version) { *version = 13020; return SUCCESS; }
int cuCtxGetCurrent(Handle* found) { *found = current; return SUCCESS; }
int cuDeviceGet(int* device, int number) { *device = number; return SUCCESS; }
int cuDevicePrimaryCtxRetain(Handle* found, int device) {
    printf("retain %d\n", device);
    *found = &context;
    return SUCCESS;
}
int cuCtxSetCurrent(Handle chosen) { printf("enter %d\n", chosen == &context); current = chosen; return SUCCESS; }
int cuModuleLoadData(Handle* found, const void* image) {
    printf("load %.5s\n", (const char*)image);
    *found = &module;
    return current ? SUCCESS : INVALID_VALUE;
}
int cuModuleGetFunction(Handle* found, Handle of, const char* name) {
    printf("function %s\n", name);
    *found = &kernel;
    return of == &module ? SUCCESS : INVALID_VALUE;
}
int cuFuncSetAttribute(Handle of, int attribute, int value) {
    printf("attribute %d %d\n", attribute, value);
    return of == &kernel ? SUCCESS : INVALID_VALUE;
}
int cuFuncLoad(Handle of) { printf("load function\n"); return of == &kernel ? SUCCESS : INVALID_VALUE; }
int cuFuncGetParamInfo(Handle, size_t number, size_t* offset, size_t* width) {
    if (number >= 4) return INVALID_VALUE;
    *offset = 0;
    *width = WIDTHS[number];
    return SUCCESS;
}
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Handle, int block, size_t shared) {
    printf("occupancy %d %zu\n", block, shared);
    *blocks = 3;
    return SUCCESS;
}
struct Attribute { int id, pad; unsigned value[16]; };
struct Config {
    unsigned grid[3], block[3], shared;
    Handle stream;
    Attribute* attributes;
    unsigned count;
};
int cuOccupancyMaxActiveClusters(int* clusters, Handle of, const Config* config) {
    if (of != &kernel || config->count != 1) return INVALID_VALUE;
    printf("clusters %u %u %u shared %u attribute %d: %u %u %u\n", config->grid[0], config->block[0], config->block[1],
           config->shared, config->attributes->id, config->attributes->value[0], config->attributes->value[1],
           config->attributes->value[2]);
    *clusters = 7;
    return SUCCESS;
}
int cuLaunchKernel(Handle of, unsigned x, unsigned y, unsigned z, unsigned block, unsigned, unsigned, unsigned shared,
                   Handle stream, void** arguments, void** extra) {
    if (of != &kernel || extra) return INVALID_VALUE;
    if (shared > 1000) return OUT_OF_MEMORY;
    printf("launch %u %u %u block %u shared %u stream %zu: %p %d %llu %g\n", x, y, z, block, shared, (size_t)stream,
           *(void**)arguments[0], *(int*)arguments[1], *(unsigned long long*)arguments[2], *(float*)arguments[3]);
    return SUCCESS;
}
}
