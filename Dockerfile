# The page for everyone who is not on a Hugging Face Space:
#   docker build -t nst-demo . && docker run --rm -p 7860:7860 nst-demo
FROM python:3.11-slim
RUN useradd --create-home --uid 1000 painter
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
# Nothing in /app is painter's: the code cannot be changed from within.
USER painter
ENV GRADIO_SERVER_NAME=0.0.0.0 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/gradio_api/queue/status', timeout=4)"]
CMD ["python", "app.py"]
