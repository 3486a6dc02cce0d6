// Peer of the bench rows hnsw*: hnswlib over inner products, its index built by all threads, searched by one and by all.
//
// hnswlib ITEMS QUERIES TRUTH N Q WIDTH M EF_CONSTRUCTION THREADS SECONDS: .npy files of f32 [n, width], f32 [q, width],
// i64 [q, 10]; prints a line of facts as JSON once the index is built, then a point of the curve for each ef that comes on
// stdin, which is searched again and again for SECONDS: the fastest pass counts.
#include <hnswlib/hnswlib.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

static double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class T>
static std::vector<T> read(const char *path, size_t n) {
  std::vector<T> out(n);
  std::ifstream file(path, std::ios::binary);
  unsigned char head[10];
  if (!file.read(reinterpret_cast<char *>(head), 10)) std::exit(1);
  file.seekg(10 + head[8] + 256 * head[9]);
  if (!file.read(reinterpret_cast<char *>(out.data()), n * sizeof(T))) std::exit(1);
  return out;
}

static long resident() {  // KiB
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;)
    if (word == "VmRSS:") {
      long kib;
      file >> kib;
      return kib;
    }
  return 0;
}

int main(int count, char **words) {
  if (count < 11) return 2;
  size_t n = std::atol(words[4]), q = std::atol(words[5]), width = std::atol(words[6]);
  int threads = std::atoi(words[9]);
  double seconds = std::atof(words[10]);
  auto items = read<float>(words[1], n * width), queries = read<float>(words[2], q * width);
  auto truth = read<long long>(words[3], q * 10);
  long before = resident();
  hnswlib::InnerProductSpace space(width);
  hnswlib::HierarchicalNSW<float> index(&space, n, std::atoi(words[7]), std::atoi(words[8]));
  double began = now();
  index.addPoint(&items[0], 0);
#pragma omp parallel for schedule(dynamic, 64) num_threads(threads)
  for (size_t i = 1; i < n; i++) index.addPoint(&items[i * width], i);
  double built = now() - began;
  std::printf("{\"build_seconds\": %.3f, \"memory_mib\": %.1f}\n", built, (resident() - before) / 1024.0);
  std::fflush(stdout);
  for (int ef; std::scanf("%d", &ef) == 1;) {
    index.setEf(ef);
    double rate[2], recall = 0;
    for (int all = 0; all < 2; all++) {
      double best = 0, start = now();
      do {
        long hits = 0;
        double one = now();
#pragma omp parallel for schedule(dynamic, 16) num_threads(all ? threads : 1) reduction(+ : hits)
        for (size_t i = 0; i < q; i++)
          for (auto found = index.searchKnn(&queries[i * width], 10); !found.empty(); found.pop())
            for (int j = 0; j < 10; j++) hits += truth[i * 10 + j] == (long long)found.top().second;
        best = std::max(best, q / (now() - one));
        recall = hits / (10.0 * q);
      } while (now() - start < seconds);
      rate[all] = best;
    }
    std::printf("{\"ef\": %d, \"recall\": %.5f, \"qps1\": %.0f, \"qps\": %.0f}\n", ef, recall, rate[0], rate[1]);
    std::fflush(stdout);
  }
}
