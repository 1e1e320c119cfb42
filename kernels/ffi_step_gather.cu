// The fused step by gathering: scores, loss, dX, dW and update in one pass over the labels, in float32, for any format.
//
// A persistent block keeps the batch in shared memory, x [D, ROWS], and beside it the dX of its labels, [D, ROWS] float32.
// It walks tiles of TILE labels, GROUP lanes to a label (rows.cuh), in three phases:
//   scores  each lane sums eight rows of the batch over the label's connections; the gradient of the loss stays in shared
//           memory, [TILE, ROWS]
//   dX      each warp owns ROWS / 8 rows of the batch and goes through all labels of the tile in their order, a lane to a
//           connection: dX[index, rows] += w g[rows]. A label's indices are distinct, so lanes don't meet, and nobody else
//           adds to these rows: no atomics, one order
//   dW      as ffi_grad_weight, and the step where it ends up: eight neighbours to a lane
// Weights and indices are read from device memory in the first phase, from cache in the others, and written once.
//
// Bound by shared memory. A connection costs 2 x ROWS * sizeof(x) bytes for scores and dW and 2 x 4 ROWS for dX, where
// the eight lanes that are served at once meet in a sixteen of bytes 2.6 times, since they hold different features: at
// ROWS 32 in bfloat16 1.5 + 5.2 cycles of 128 bytes (two labels share a turn in the first, and collide every other
// time). ROWS are all the batch there may be: D * ROWS * (sizeof(x) + 4) bytes must fit.
#include "gather.cuh"
#include "step.cuh"

#define THREADS 256
#define WARPS (THREADS / WARP_SIZE)
#define TILE (THREADS / GROUP)
#define OWN (ROWS / WARPS)                                // rows of the batch whose dX a warp adds up
#define TURN (ROWS >= 32 ? 0 : ROWS == 16 ? 1 : 2)        // features to a line of 128 bytes of dX, as a power of two
#define MARK_WORDS ((ROWS + 31) / 32)

struct __align__(OWN < 4 ? 4 * OWN : 16) Own { float row[OWN]; };

// A warp's rows of a feature of dX: the warps' places turn with the feature, so that any eight features lie in different
// banks as likely as not.
__device__ __forceinline__ Own* own_place(float* dx, u32 feature, int warp) {
    return (Own*)(dx + feature * ROWS + ((warp + (feature >> TURN)) % WARPS) * OWN);
}

// The gradients of one label's scores for the lane's eight rows, and its share of the loss.
__device__ __forceinline__ float take_loss(float* sum, const u32* marks, int lane, int batch, bool live) {
    float losses = 0.0f;
    u32 positive = live ? marks[lane / 4] >> (lane % 4 * 8) : 0u;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float loss;
        sum[i] = loss_gradient(sum[i], positive >> i & 1u, loss);
        if (!live || 8 * lane + i >= batch) sum[i] = loss = 0.0f;
        losses += loss;
    }
    return losses;
}

// dX of the tile's labels, for the warp's rows.
__device__ __forceinline__ void add_features(float* dx, const float* gradient, const weight_t* weight, const u16* index,
                                             int labels, int fan_in) {
    int warp = threadIdx.x / WARP_SIZE, lane = threadIdx.x % WARP_SIZE;
    for (int label = 0; label < labels; label++, weight += fan_in, index += fan_in) {
        Own g = *(const Own*)(gradient + label * ROWS + warp * OWN);
        for (int k = lane; k < fan_in; k += WARP_SIZE) {
            Own* place = own_place(dx, index[k], warp);
            Own sum = *place;
            float w = to_float(weight[k]);
#pragma unroll
            for (int i = 0; i < OWN; i++) sum.row[i] += w * g.row[i];
            *place = sum;
        }
        __syncwarp();  // the next label may have the same features in other lanes
    }
}

// The gradients of a label's weights from the lane's rows, and the step of those that are the lane's.
__device__ __forceinline__ void update_label(const Rows& rows, const float* g, const u16* index, weight_t* weight,
                                             momentum_t* momentum, bool live, int lane, int fan_in, u64 label, i64 step,
                                             u64 seed, const Sgd& by) {
    for (int k0 = 0; k0 < fan_in; k0 += 8 * GROUP) {
        int k = k0 + 8 * lane;
        bool mine = live && k < fan_in;
        uint4 bits = uint4{0, 0, 0, 0};  // a label past the end reads feature 0, with gradients of 0
        if (mine) bits = *(const uint4*)(index + k);
        u32 at[4] = {bits.x, bits.y, bits.z, bits.w};
        float sum[8];
        gradients(rows, g, at, (fan_in - k0) / 8, lane, sum);
        if (mine) update8(by, sum, weight + k, MOMENTUM ? momentum + k : momentum, label, (u32)(k / 8), step, seed);
    }
}

__device__ __forceinline__ void give_features(float* out, float* dx, int batch, int num_features) {
    for (int i = threadIdx.x; i < batch * num_features; i += THREADS) {
        int row = i / num_features, feature = i % num_features;
        out[i] = own_place(dx, feature, row / OWN)->row[row % OWN];
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
ffi_step_gather(const feature_t* x_DB, weight_t* weight_LK, const u16* index_LK, float* bias_L, momentum_t* momentum_LK,
                float* partial_SBD, float* partial_loss, const i64* positive_rows, const i64* positive_labels,
                int num_positives, const float* scale, const float* rate, const i64* step, float weight_decay,
                float momentum_factor, u64 seed, i64 first_label, i64 begin, i64 end, int batch, int stride,
                int num_features, int fan_in) {
    DYNAMIC_SHARED(memory);
    __shared__ float4 gradients_of_tile[TILE * ROWS / 4];
    __shared__ u32 marks[TILE * MARK_WORDS];
    __shared__ float scratch[WARPS];
    float *dx = (float*)memory, *gradient = (float*)gradients_of_tile;
    int lane = threadIdx.x % GROUP, slot = threadIdx.x / GROUP;
    Sgd by = {*scale, *rate, weight_decay, MOMENTUM ? momentum_factor : 0.0f};
    i64 now = *step;
    for (int i = threadIdx.x; i < num_features * ROWS; i += THREADS) dx[i] = 0.0f;
    Rows rows = take_rows(x_DB, 0, lane, stride, num_features, (feature_t*)(dx + num_features * ROWS));
    float losses = 0.0f;
    int pairs = 0;
    for (i64 tile = begin + (i64)blockIdx.x * TILE; tile < end; tile += (i64)gridDim.x * TILE) {
        i64 label = tile + slot, at = label * fan_in;
        bool live = label < end;
        if (threadIdx.x < WARP_SIZE)
            pairs = mark_positives(marks, MARK_WORDS, positive_rows, positive_labels, num_positives, tile, TILE, pairs);
        float sum[8] = {};
        if (live) {
            float bias = bias_L ? bias_L[label] : 0.0f;
#pragma unroll
            for (int i = 0; i < 8; i++) sum[i] = bias;
            label_scores(rows, weight_LK + at, index_LK + at, fan_in, sum);
        }
        __syncthreads();
        losses += take_loss(sum, marks + slot * MARK_WORDS, lane, batch, live);
        store8(gradient + slot * ROWS + 8 * lane, sum);
        if (bias_L) {
            float total = sum_over_rows(sum);
            if (live && lane == 0) bias_L[label] -= by.rate * by.scale * total;
        }
        __syncthreads();
        i64 first = tile * fan_in;
        add_features(dx, gradient, weight_LK + first, index_LK + first, (int)min((i64)TILE, end - tile), fan_in);
        __syncthreads();  // the weights change only now; after it nothing shared changes
        update_label(rows, sum, index_LK + at, weight_LK + at, MOMENTUM ? momentum_LK + at : momentum_LK, live, lane,
                     fan_in, (u64)(first_label + label), now, seed, by);
    }
    give_features(partial_SBD + (i64)blockIdx.x * batch * num_features, dx, batch, num_features);
    losses = sum_over_block(losses, scratch);
    if (threadIdx.x == 0) partial_loss[blockIdx.x] = losses;
}
